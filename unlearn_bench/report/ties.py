"""Tests whether a method's gap to the retrained model is significantly larger than the smallest gap of a column.

The test needs independent observations. All forget sets of a seed share one original model. With several seeds, the
observations are therefore the means over forget sets, one per seed, and the marks hold for the recipe at any seed. With
one seed, the observations are the forget sets, and the marks hold only for these models; a note under the table states
this.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

from unlearn_bench.report.notes import Configuration

LEVEL = 0.05  # probability of a false 'farther' for a method that is as close to retrained as any other

Mark = Literal["smallest", "tied"]
Values = Mapping[Configuration, Mapping[str, float]]  # by metric
Differences = Mapping[Configuration, float]  # a method's value minus the retrained model's


def differences_of(method: Values, retrained: Values, metric: str) -> Differences:
    """Returns a method's value minus the retrained model's, for each configuration that both have."""
    shared = [pair for pair in method if pair in retrained and metric in method[pair]]
    return {pair: method[pair][metric] - retrained[pair][metric] for pair in shared}


def observations(differences: Differences) -> dict[object, float]:
    """Returns the independent observations: the mean over forget sets per seed; with one seed, the forget sets.

    >>> observations({("1", 0): 0.2, ("3", 0): 0.4})
    {'1': 0.2, '3': 0.4}
    >>> observations({("1", 0): 1.0, ("3", 0): 3.0, ("1", 1): 5.0, ("3", 1): 7.0})
    {0: 2.0, 1: 6.0}
    """
    by_seed: dict[int, list[float]] = defaultdict(list)
    for (_, seed), value in differences.items():
        by_seed[seed].append(value)
    if len(by_seed) > 1:
        return {seed: statistics.fmean(values) for seed, values in by_seed.items()}
    return {forget: value for (forget, _), value in differences.items()}


def farther(own: Differences, other: Differences, competitors: int) -> bool:
    """Returns whether a method's gap is significantly larger than another's.

    A gap is |mean difference|. |a| > |b| exactly if a − b and a + b have the same sign, so the function tests both:
    paired Student's t-tests over the observations, at ``LEVEL`` / 2 divided by the number of other methods (Hsu's
    multiple comparisons with the best, by Bonferroni). For normal observations, a method that is as close to retrained
    as any other is called farther than one of them in at most a share ``LEVEL`` of tables, as
    benchmarks/ties_and_floor.py measures.

    Args:
        own: differences of a method.
        other: differences of another method, on the same configurations.
        competitors: number of methods that compete in the column.

    Source: Hsu 1981, Annals of Statistics 9(5); Berger 1982, Technometrics 24(4) (intersection-union test).
    """
    from scipy.special import stdtrit  # importing scipy.stats takes longer than printing a table

    units = [observations({pair: side[pair] for pair in own.keys() & other.keys()}) for side in (own, other)]
    count = len(units[0])
    if count < 2:
        return False
    critical = float(stdtrit(count - 1, 1 - LEVEL / 2 / max(1, competitors - 1)))
    scores = [
        student([units[0][unit] + sign * units[1][unit] for unit in units[0]]) for sign in (-1, 1)
    ]  # of a − b and of a + b
    return min(scores) > critical or max(scores) < -critical


def student(values: Sequence[float]) -> float:
    """Returns Student's t of a mean against 0; ±infinity if all values are equal and not 0, 0 if all are 0."""
    mean, spread = statistics.fmean(values), statistics.stdev(values)
    if spread <= 1e-12 * max(abs(value) for value in values):  # equal but for rounding
        return 0.0 if mean == 0 else float("inf") if mean > 0 else float("-inf")
    return mean / (spread / len(values) ** 0.5)


def marks_of(competing: Mapping[int, Differences]) -> dict[int, Mark]:
    """Returns the marks of a column: the row with the smallest gap, and the rows that are not significantly farther.

    A row gets no mark if its gap is significantly larger than the gap of any other row. A comparison with the smallest
    gap alone is not enough: if two rows are equally close, chance decides which has the smallest gap, and this must not
    affect a third row.

    No row gets a mark if no gap is significantly larger than another: the order is then due to chance.

    Args:
        competing: by row, its differences from the retrained model, all on the same configurations.
    """
    if not competing:
        return {}
    gaps = {row: abs(statistics.fmean(differences.values())) for row, differences in competing.items()}
    smallest = min(gaps, key=lambda row: gaps[row])
    marks: dict[int, Mark] = {}
    for row, differences in competing.items():
        if gaps[row] == gaps[smallest]:
            marks[row] = "smallest"
            continue
        nearer = (other for other, gap in gaps.items() if gap < gaps[row])
        if not any(farther(differences, competing[other], len(competing)) for other in nearer):
            marks[row] = "tied"
    return {} if len(marks) == len(competing) > 1 else marks
