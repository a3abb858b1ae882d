"""Compares a model with the distribution of retrained models: one prediction interval per metric, then all together.

Retrained models of different seeds differ from each other. Given R of them with mean r and standard deviation s, a
further one lies within r ± t · s · √(1 + 1/R). A few models estimate s poorly: for two, t is about thirteen. So s² is
a weighted mean of two variances: that of the given models, with R − 1 degrees of freedom, and that of this
benchmark's retrained models, with ``PRIOR_FREEDOM`` degrees of freedom. This is the moderated t-test of Smyth 2004
(Statistical Applications in Genetics and Molecular Biology 3(1)) with a prior from recorded runs.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import stdtr, stdtrit

from unlearn_bench.auditing.results import Measured

LEVEL = 0.05  # the share of honestly retrained models that may be called distinguishable
PRIOR_FREEDOM = 4
# Standard deviation of retrained models over seeds, in the metric's unit, from five forget sets of digits and thirty
# seeds (results/demo-runs-30-seeds.csv, printed by benchmarks/audit_calibration.py).
PRIOR_SPREAD = {
    "da": 0.0103,
    "lp_forget": 4.21,
    "lp_retain": 0.695,
    "f1": 0.0876,
    "nmi": 0.0605,
    "acc_retain": 0.689,
    "mia": 0.0657,
}
OTHER_SPREAD = {"%": 2.0, "": 0.05}  # by unit, for all other metrics
TOLERANCE = {"%": 1.0, "": 0.01}  # by unit: a difference that the rounding of a table hides


@dataclass(frozen=True)
class Comparison:
    """A model compared with the retrained models and the original in one metric.

    Attributes:
        metric: the values of all models.
        difference: the model's value minus the mean of the retrained models, in the metric's unit.
        p: probability that a retrained model differs by as much or more, in this metric alone.
        visible: the smallest significant difference when all metrics are tested together.
        way: position of the value between the original's (0) and the retrained models' (1); None if these are equal.
    """

    metric: Measured
    difference: float
    p: float
    visible: float
    way: float | None

    @property
    def is_sensitive(self) -> bool:
        """Whether the original model differs significantly from the retrained models in this metric."""
        return abs(self.metric.original - statistics.fmean(self.metric.retrained)) > self.visible


def compare(metrics: Sequence[Measured], prior: Mapping[str, float] = PRIOR_SPREAD) -> list[Comparison]:
    """Returns the comparison of every metric; all have the same retrained models, at least one."""
    compared = []
    for metric in metrics:
        references = metric.retrained
        own = len(references) - 1
        prior_spread = prior.get(metric.name, OTHER_SPREAD.get(metric.unit, OTHER_SPREAD[""]))
        variance = statistics.variance(references) if own else 0.0
        spread = math.sqrt((PRIOR_FREEDOM * prior_spread**2 + own * variance) / (PRIOR_FREEDOM + own))
        spread = max(spread, metric.resolution)
        error = spread * math.sqrt(1 + 1 / len(references))
        mean = statistics.fmean(references)
        difference, freedom = metric.unlearned - mean, PRIOR_FREEDOM + own
        room = metric.original - mean
        compared.append(
            Comparison(
                metric=metric,
                difference=difference,
                p=2 * float(stdtr(freedom, -abs(difference) / error)),
                visible=error * float(stdtrit(freedom, 1 - LEVEL / 2 / len(metrics))),
                way=(metric.original - metric.unlearned) / room if room else None,
            )
        )
    return compared


def joint_p(compared: Sequence[Comparison]) -> float:
    """Returns the p-value of all metrics together: the smallest one with Bonferroni's correction."""
    return min(1.0, len(compared) * min(comparison.p for comparison in compared))


def way_of(compared: Sequence[Comparison]) -> float:
    """Returns the weighted mean position of these metrics between the original (0) and the retrained models (1).

    The weight of a metric is the square of the distance between original and retrained, in units of its smallest
    significant difference.
    """
    weights = [((c.metric.original - statistics.fmean(c.metric.retrained)) / c.visible) ** 2 for c in compared]
    weighted = [weight * c.way for weight, c in zip(weights, compared, strict=True) if c.way]
    return sum(weighted) / sum(weights)
