"""When a membership attack counts as better than guessing, by arithmetic and by simulation."""

import math

import numpy as np
import pytest

from unlearn_bench.metrics.membership import attack
from unlearn_bench.report.chance import attack_of

MEMBERS, OTHERS = 1292, 359  # as the demo has


def test_the_bound_is_that_of_two_shares_of_one_half() -> None:
    found = attack_of({"mia": 0.3, "mia_accuracy": 0.55}, MEMBERS, OTHERS)
    assert found is not None
    deviation = math.sqrt(0.25 / MEMBERS + 0.25 / OTHERS) / 2
    assert found.low == pytest.approx(0.55 - 1.96 * deviation, abs=1e-5)
    assert not found.is_guessing


@pytest.mark.parametrize(("accuracy", "guessing"), [(0.5, True), (0.529, True), (0.53, False), (0.45, True)])
def test_an_attack_near_one_half_is_guessing(accuracy: float, guessing: bool) -> None:
    found = attack_of({"mia_accuracy": accuracy}, MEMBERS, OTHERS)
    assert found is not None
    assert found.is_guessing is guessing


def test_more_images_tell_more() -> None:
    few, many = (attack_of({"mia_accuracy": 0.52}, images, images) for images in (1_000, 10_000))
    assert few is not None
    assert many is not None
    assert few.is_guessing
    assert not many.is_guessing


def test_without_the_accuracy_nothing_is_said() -> None:
    assert attack_of({"mia": 0.3}, MEMBERS, OTHERS) is None


@pytest.mark.parametrize("sides", [(0, 10), (10, 0)])
def test_a_side_without_images_is_refused(sides: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="members"):
        attack_of({"mia_accuracy": 0.6}, *sides)


def better_than_guessing(shift: float, rounds: int) -> tuple[float, float]:
    """Returns the mean accuracy and the share of attacks called better than guessing; shift: of members' log-odds."""
    rng = np.random.default_rng(0)
    accuracies, called = [], 0
    for _ in range(rounds):
        # confidences that crowd at 1, as networks' do
        members, others = (
            1 / (1 + np.exp(-(4 + 2 * rng.normal(size=size) + by))) for size, by in ((MEMBERS, shift), (OTHERS, 0.0))
        )
        slope, level, mean, std = attack(members, others)
        right = [np.mean(slope * ((q - mean) / std) + level > 0) for q in (members, others)]
        accuracies.append((right[0] + 1 - right[1]) / 2)
        found = attack_of({"mia_accuracy": float(accuracies[-1])}, MEMBERS, OTHERS)
        called += found is not None and not found.is_guessing
    return float(np.mean(accuracies)), called / rounds


def test_an_attack_that_can_know_nothing_is_rarely_called_better() -> None:
    """Both sides of one distribution: at most 2.5 % of attacks, though each is judged on the samples of its fit."""
    accuracy, called = better_than_guessing(0.0, rounds=400)
    assert 0.5 < accuracy < 0.515
    assert called <= 0.025


def test_an_attack_that_works_is_called_better() -> None:
    assert better_than_guessing(1.0, rounds=50)[1] > 0.95
