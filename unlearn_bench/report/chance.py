"""Whether the membership attack behind a run's MIA is better than guessing."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from unlearn_bench.store.records import RunRecord

ATTACK, ACCURACY = "mia", "mia_accuracy"
GUESSING = 0.5
NOTE = (
    "°: the membership attack behind this value is no better than guessing (its balanced accuracy is not significantly "
    "above 0.5), so the value is arbitrary and is not compared."
)
QUANTILE = 1.959964  # of the normal distribution, two-sided 95 %


@dataclass(frozen=True)
class Attack:
    """How well a membership attack does.

    Attributes:
        accuracy: balanced accuracy, 0 to 1.
        low: lower end of its 95 % interval.
    """

    accuracy: float
    low: float

    @property
    def is_guessing(self) -> bool:
        """Whether the interval reaches down to guessing: then MIA values are not to be compared."""
        return self.low <= GUESSING


def attack_of(values: Mapping[str, float], members: int, non_members: int) -> Attack | None:
    """Returns how well the attack behind a run's MIA does, or None where its accuracy is not among the values.

    The interval is the normal approximation for the mean of two independent shares, each with the variance of a share
    of one half, the largest possible. The two shares are not recorded, and their own variances would be too small for
    an accuracy measured on the samples of the fit: of simulated attacks on two equal sides this interval calls 1 %
    better than guessing, one from the shares themselves 6 %.

    Args:
        values: of a run, by metric.
        members: training images less those of D_f.
        non_members: test images.

    Raises:
        ValueError: a side has no images.
    """
    if members < 1 or non_members < 1:
        raise ValueError(f"an attack needs members and non-members, here {members} and {non_members}")
    accuracy = values.get(ACCURACY)
    if accuracy is None:
        return None
    error = math.sqrt(1 / members + 1 / non_members) / 4
    return Attack(accuracy, accuracy - QUANTILE * error)


def can_compare(metric: str, runs: Collection[RunRecord]) -> bool:
    """Returns whether a metric's mean over runs says enough to be ranked.

    A membership attack's accuracy is shown and not ranked: it says how far MIA can be read. MIA itself is ranked where
    the attack, on average over the runs, is better than guessing. D_f is counted among the members: it is a small part.
    """
    if metric != ATTACK:
        return metric != ACCURACY
    measured = [run for run in runs if ACCURACY in run.values and run.train_images and run.test_images]
    if not measured:
        return True
    accuracy = statistics.fmean(run.values[ACCURACY] for run in measured)
    found = attack_of({ACCURACY: accuracy}, measured[0].train_images, measured[0].test_images)
    return found is None or not found.is_guessing
