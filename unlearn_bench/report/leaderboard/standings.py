"""The rows of a leaderboard, and which of them no other beats."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unlearn_bench.report.leaderboard.ranks import Ranking
from unlearn_bench.report.ties import LEVEL

FORGET_SET = "forget set"  # in the name of a block


@dataclass(frozen=True)
class Standing:
    """A row of the leaderboard.

    Attributes:
        label: label of the method, with its options where a table has several rows of one method.
        is_reference: whether the row is a reference model, which has no rank.
        by_block: the mean gap of each block, in multiples of the noise floor.
        by_seed: the same as one value per seed, the mean over tables; empty without a common seed.
        largest: the metric with the largest gap, and this gap in multiples of its noise floor.
        kept: mean difference of the accuracy on retained test images from the retrained model's, in points; None if a
            table has no such metric.
        cost: images passed forward and backward, as a share of the retrained model's; None if a table has imported runs
            without a cost.
    """

    label: str
    is_reference: bool
    by_block: Mapping[str, float]
    by_seed: Mapping[int, float]
    largest: tuple[str, float]
    kept: float | None
    cost: float | None

    @property
    def gap(self) -> float:
        """Mean gap over blocks, in multiples of the noise floor."""
        return statistics.fmean(self.by_block.values())

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the mean gap, by Student's t over seeds; None for fewer than two seeds."""
        from scipy.special import stdtrit

        values = list(self.by_seed.values())
        if len(values) < 2:
            return None
        wide = float(stdtrit(len(values) - 1, 1 - LEVEL / 2)) * statistics.stdev(values) / math.sqrt(len(values))
        middle = statistics.fmean(values)
        return max(0.0, middle - wide), middle + wide


@dataclass(frozen=True)
class Leaderboard:
    """The rows of a leaderboard, references first, then methods by mean rank, and the ranking of the methods."""

    standings: tuple[Standing, ...]
    ranking: Ranking
    notes: tuple[str, ...]

    @property
    def methods(self) -> list[Standing]:
        """The rows that are ranked."""
        return [standing for standing in self.standings if not standing.is_reference]

    @property
    def front(self) -> list[Standing]:
        """The methods that no other beats in gap, retained accuracy and cost, as far as all methods have them."""
        has_kept = all(each.kept is not None for each in self.methods)
        has_cost = all(each.cost is not None for each in self.methods)
        points = {
            each.label: (each.gap, -(each.kept or 0) if has_kept else 0.0, (each.cost or 0) if has_cost else 0.0)
            for each in self.methods
        }
        return [each for each in self.methods if not any(_beats(p, points[each.label]) for p in points.values())]


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True)) and tuple(one) != tuple(other)
