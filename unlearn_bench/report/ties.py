"""Whether two methods' gaps to the retrained model can be told apart."""

from __future__ import annotations

from collections.abc import Mapping

from unlearn_bench.report.notes import Configuration

RESAMPLES = 9_999
CONFIDENCE = 0.95

Values = Mapping[Configuration, Mapping[str, float]]  # by metric
Differences = Mapping[Configuration, float]  # a method's value less the retrained model's


def differences_of(method: Values, retrained: Values, metric: str) -> Differences:
    """Returns a method's value less the retrained model's on each configuration that both have."""
    shared = [pair for pair in method if pair in retrained and metric in method[pair]]
    return {pair: method[pair][metric] - retrained[pair][metric] for pair in shared}


def tied(one: Differences, best: Differences) -> bool:
    """Returns whether 0 lies in the 95 % interval of the difference of two gaps: they are not distinguishable.

    A gap is |mean difference|. The interval is a paired percentile bootstrap over the configurations that both have,
    as SciPy's ``bootstrap`` makes it, which would take longer to load than every table to print. With fewer than two
    nothing can be told apart.
    """
    import numpy as np

    shared = sorted(one.keys() & best.keys())
    if len(shared) < 2:
        return True
    drawn = np.random.default_rng(0).integers(len(shared), size=(RESAMPLES, len(shared)))
    gaps = [np.abs(np.array([side[pair] for pair in shared])[drawn].mean(axis=1)) for side in (one, best)]
    low, high = np.quantile(gaps[0] - gaps[1], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return bool(low <= 0 <= high)
