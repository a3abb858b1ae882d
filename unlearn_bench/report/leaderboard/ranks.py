"""Ranks methods over blocks, and tests which mean ranks differ: Friedman's test and Nemenyi's critical difference."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from unlearn_bench.report.ties import LEVEL


@dataclass(frozen=True)
class Ranking:
    """Mean ranks of methods; rank 1 is the smallest gap.

    Attributes:
        means: mean rank of each method.
        blocks: number of blocks.
        p_value: of Friedman's test that all methods rank alike; None for fewer than three methods or two blocks.
        critical: two mean ranks that differ by more are significantly different (Nemenyi, 5 %); None for fewer than
            two methods or blocks.
    """

    means: Mapping[str, float]
    blocks: int
    p_value: float | None
    critical: float | None

    @property
    def decides(self) -> bool:
        """Whether Friedman's test finds any difference, without which no two mean ranks are called different."""
        return self.p_value is not None and self.p_value < LEVEL

    def tied_with_best(self) -> list[str]:
        """Returns the methods whose mean rank is not significantly worse than the best."""
        best = min(self.means.values())
        if not self.decides or self.critical is None:
            return list(self.means)
        return [name for name, mean in self.means.items() if mean - best <= self.critical]


def rank(gaps: Mapping[str, Mapping[str, float]]) -> Ranking:
    """Returns the ranking of methods by their gaps.

    Args:
        gaps: by method, its gap in each block. All methods have the same blocks.

    Source: Demšar 2006, Journal of Machine Learning Research 7, section 3.2.2.

    Example:
        >>> rank({"a": {"x": 0.1, "y": 0.3}, "b": {"x": 0.2, "y": 0.3}}).means
        {'a': 1.25, 'b': 1.75}
    """
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    names, blocks = list(gaps), list(next(iter(gaps.values())))
    ranks = [rankdata([gaps[name][block] for name in names]) for block in blocks]
    means = {name: statistics.fmean(float(line[k]) for line in ranks) for k, name in enumerate(names)}
    k, n = len(names), len(blocks)
    if k < 2 or n < 2:
        return Ranking(means, n, None, None)
    p_value = None
    if k > 2:
        is_equal = all(len(set(line.tolist())) == 1 for line in ranks)  # in every block: the statistic is 0 / 0
        columns = ([gaps[name][block] for block in blocks] for name in names)
        p_value = 1.0 if is_equal else float(friedmanchisquare(*columns).pvalue)
    quantile = float(studentized_range.ppf(1 - LEVEL, k, math.inf)) / math.sqrt(2)
    return Ranking(means, n, p_value, quantile * math.sqrt(k * (k + 1) / (6 * n)))
