"""Tests whether the membership attack behind a run's MIA is better than guessing."""

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
    """The accuracy of a membership attack.

    Attributes:
        accuracy: balanced accuracy, 0 to 1.
        low: lower bound of its 95 % interval.
    """

    accuracy: float
    low: float

    @property
    def is_guessing(self) -> bool:
        """Whether the interval contains 0.5. If so, MIA values must not be compared."""
        return self.low <= GUESSING


def attack_of(values: Mapping[str, float], members: int, non_members: int) -> Attack | None:
    """Returns the accuracy of the attack behind a run's MIA, or None if ``values`` lacks it.

    The interval is the normal approximation for the mean of two independent shares, each with the largest possible
    variance, that of a share of 0.5. The two shares are not recorded. Their own variances would be too small, because
    the accuracy is measured on the samples of the fit: in simulated attacks on two equal distributions, 1 % are better
    than guessing by this interval, and 6 % by an interval from the shares.

    Args:
        values: values of a run, by metric.
        members: number of training images without those of D_f.
        non_members: number of test images.

    Raises:
        ValueError: there are no members or no non-members.
    """
    if members < 1 or non_members < 1:
        raise ValueError(f"an attack needs members and non-members, got {members} and {non_members}")
    accuracy = values.get(ACCURACY)
    if accuracy is None:
        return None
    error = math.sqrt(1 / members + 1 / non_members) / 4
    return Attack(accuracy, accuracy - QUANTILE * error)


def can_compare(metric: str, runs: Collection[RunRecord]) -> bool:
    """Returns whether methods can be ranked by a metric's mean over these runs.

    The accuracy of a membership attack is shown but never ranked, because it only tells whether MIA is meaningful. MIA
    is ranked if the mean attack over the runs is better than guessing. The number of members includes D_f, which is a
    small part of the training images.
    """
    if metric != ATTACK:
        return metric != ACCURACY
    measured = [run for run in runs if ACCURACY in run.values and run.train_images and run.test_images]
    if not measured:
        return True
    accuracy = statistics.fmean(run.values[ACCURACY] for run in measured)
    attack = attack_of({ACCURACY: accuracy}, measured[0].train_images, measured[0].test_images)
    return attack is None or not attack.is_guessing
