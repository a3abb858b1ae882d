"""Whether a method's gap to the retrained model is larger than the smallest gap of a table, or cannot be told apart.

What is independent decides what can be concluded. All forget sets of a seed share one original model, so with several
seeds each seed is one observation: its mean over forget sets. The marks then speak of the recipe, at any seed. With one
seed the forget sets are the observations, and the marks speak of these very models alone; tables say so.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

from unlearn_bench.report.notes import Configuration

LEVEL = 0.05  # how often a method that is as near to retrained as the nearest may be called farther

Mark = Literal["smallest", "tied"]
Values = Mapping[Configuration, Mapping[str, float]]  # by metric
Differences = Mapping[Configuration, float]  # a method's value less the retrained model's


def differences_of(method: Values, retrained: Values, metric: str) -> Differences:
    """Returns a method's value less the retrained model's on each configuration that both have."""
    shared = [pair for pair in method if pair in retrained and metric in method[pair]]
    return {pair: method[pair][metric] - retrained[pair][metric] for pair in shared}


def observations(differences: Differences) -> dict[object, float]:
    """Returns the independent observations: the mean over forget sets of each seed, or, of one seed, each forget set.

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


def farther(one: Differences, other: Differences, competitors: int) -> bool:
    """Returns whether a method's gap is significantly larger than another's.

    A gap is |mean difference|. |a| > |b| exactly where a − b and a + b have the same sign, so both are tested: paired
    Student's t over the observations, at ``LEVEL`` / 2 divided by the number of other methods (Hsu's multiple
    comparisons with the best, by Bonferroni). A method that is truly as near to retrained as any other is called
    farther than one of them in at most ``LEVEL`` of tables, as far as observations are normal;
    benchmarks/ties_and_floor.py measures it.

    Args:
        one: differences of a method.
        other: differences of another method, on the same configurations.
        competitors: how many methods compete in the column.

    Source: Hsu 1981, Annals of Statistics 9(5); Berger 1982, Technometrics 24(4) (intersection-union test).
    """
    from scipy.special import stdtrit  # scipy.stats would take longer to load than every table to print

    units = [observations({pair: side[pair] for pair in one.keys() & other.keys()}) for side in (one, other)]
    count = len(units[0])
    if count < 2:
        return False
    critical = float(stdtrit(count - 1, 1 - LEVEL / 2 / max(1, competitors - 1)))
    scores = [
        student([units[0][unit] + sign * units[1][unit] for unit in units[0]]) for sign in (-1, 1)
    ]  # of a − b and of a + b
    return min(scores) > critical or max(scores) < -critical


def student(values: Sequence[float]) -> float:
    """Returns Student's t of a mean against 0; ±infinity where all values are equal and not 0."""
    mean, spread = statistics.fmean(values), statistics.stdev(values)
    if spread <= 1e-12 * max(abs(value) for value in values):  # equal but for rounding
        return 0.0 if mean == 0 else float("inf") if mean > 0 else float("-inf")
    return mean / (spread / len(values) ** 0.5)


def marks_of(competing: Mapping[int, Differences]) -> dict[int, Mark]:
    """Returns which rows of a column have the smallest gap, and which may be as near to retrained as any other.

    A row is out where its gap is significantly larger than some other's, not the smallest's alone: of two that are
    equally near, which has the smallest gap is chance, and must not decide about a third.

    Nothing is marked where all rows that compete are so near that none can be told apart from the smallest: then the
    order is chance, and a smallest gap would be shown for nothing.

    Args:
        competing: by row, its differences to the retrained model, all on the same configurations.
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
