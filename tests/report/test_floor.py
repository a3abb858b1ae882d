"""How surely a table says it: the noise floor of retrained models, distances to it, ties of methods."""

import numpy as np
import pytest
from scipy.stats import t, ttest_ind

from unlearn_bench.core.errors import MissingRunError
from unlearn_bench.report.floor import TYPICAL, Floor, distance, noise_floor
from unlearn_bench.report.ties import farther, marks_of, observations

RETRAINED = {("1", 0): {"da": 0.8}, ("3", 0): {"da": 0.9}, ("1", 1): {"da": 0.84}, ("3", 1): {"da": 0.92}}


def by_pair(values: np.ndarray) -> dict[tuple[str, int], float]:
    """Differences (seeds, sets) by configuration."""
    return {(str(k), seed): float(value) for seed, line in enumerate(values) for k, value in enumerate(line)}


def test_the_floor_is_what_means_of_two_seeds_typically_differ_by() -> None:
    floor = noise_floor(RETRAINED, "da", ("1", "3"))
    assert floor.means == pytest.approx((0.85, 0.88))
    assert floor.typical == pytest.approx(2 / np.sqrt(np.pi) * 0.03 / np.sqrt(2))
    third = {**RETRAINED, ("1", 2): {"da": 0.5}, ("3", 2): {"da": 0.6}}
    means = [0.85, 0.88, 0.55]
    assert noise_floor(third, "da", ("1", "3")).means == pytest.approx(means)
    assert noise_floor(third, "da", ("1", "3")).typical == pytest.approx(2 / np.sqrt(np.pi) * np.std(means, ddof=1))
    partial = {**third, ("1", 7): {"da": 0.0}}  # a seed without all forget sets says nothing of their mean
    assert noise_floor(partial, "da", ("1", "3")) == noise_floor(third, "da", ("1", "3"))


def test_a_floor_needs_two_seeds_on_the_same_forget_sets() -> None:
    for lacking in ({("1", 0): {"da": 0.8}}, {("1", 0): {"da": 0.8}, ("3", 1): {"da": 0.8}}):
        with pytest.raises(MissingRunError, match="two seeds"):
            noise_floor(lacking, "da", ("1", "3"))


def test_a_distance_is_welchs_interval() -> None:
    """Against SciPy's t-test of two means, and of one further model against several."""
    retrained, method = (0.85, 0.88, 0.55, 0.71), (0.9, 0.95, 0.8)
    lies = distance(method, Floor(retrained))
    found = ttest_ind(method, retrained, equal_var=False)
    interval = found.confidence_interval(0.95)
    assert lies is not None
    assert (lies.low, lies.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert lies.difference == pytest.approx(np.mean(method) - np.mean(retrained))
    one = distance([0.1], Floor(retrained))
    half = t.isf(0.025, 3) * np.std(retrained, ddof=1) * np.sqrt(1 + 1 / 4)
    assert one is not None
    assert one.high - one.low == pytest.approx(2 * half)
    assert one.verdict == "different"
    assert distance([], Floor(retrained)) is None


def test_a_distance_without_spread_is_exact() -> None:
    zero = Floor((0.0, 0.0, 0.0))
    assert [distance([value], zero).verdict for value in (0.0, 0.1)] == ["equivalent", "different"]


def test_more_seeds_show_smaller_differences_and_near_methods_become_equivalent() -> None:
    """Verdicts at the nominal rates: 5 % of retrained models called different, and few that are far equivalent."""
    rng = np.random.default_rng(0)

    def share(seeds: int, shift: float, verdict: str) -> float:
        cases = [
            distance(tuple(rng.normal(shift, 1, seeds)), Floor(tuple(rng.normal(0, 1, seeds)))) for _ in range(1500)
        ]
        return sum(lies is not None and lies.verdict == verdict for lies in cases) / len(cases)

    for seeds in (2, 5, 10, 30):
        assert share(seeds, 0.0, "different") <= 0.07
        assert share(seeds, 3.0, "equivalent") <= 0.01
        assert share(seeds, TYPICAL, "equivalent") <= 0.07
    assert share(30, 3.0, "different") == 1.0
    assert share(30, 0.0, "equivalent") >= 0.8
    visible = Floor(tuple(rng.normal(0, 1, 30))).visible(30)
    assert 0.7 <= share(30, visible, "different") <= 0.97


def test_a_method_as_near_as_the_nearest_is_rarely_called_farther() -> None:
    """Nine equal methods with an original common to the sets of a seed: at most the nominal share is set apart."""
    rng = np.random.default_rng(1)
    wrong = tables = 0
    for _ in range(150):
        common, own = rng.normal(size=(9, 5, 1)), rng.normal(size=(9, 5, 5))
        marks = marks_of({k: by_pair(2 + common[k] + own[k]) for k in range(9)})
        wrong += 9 - len(marks) if marks else 0
        tables += 9
    assert wrong / tables <= 0.05
    far = marks_of({k: by_pair((8 if k == 3 else 2) + rng.normal(size=(5, 5))) for k in range(9)})
    assert 3 not in far
    assert "smallest" in far.values()


def test_gaps_that_chance_may_order_are_tied() -> None:
    def differences(*values: float) -> dict[tuple[str, int], float]:
        return {(str(forget), 0): value for forget, value in enumerate(values)}

    best = differences(0.01, -0.01, 0.02, 0.0, 0.01)
    near, far = differences(0.02, -0.02, 0.01, 0.01, 0.02), differences(0.3, 0.32, 0.29, 0.31, 0.3)
    opposite = differences(-0.3, -0.32, -0.29, -0.31, -0.3)
    assert not farther(near, best, 2)
    assert farther(far, best, 9)
    assert farther(opposite, best, 9), "a gap has no sign"
    assert not farther(opposite, far, 9), "equal gaps on either side of retrained"
    assert not farther(differences(0.3), differences(0.1), 2), "one configuration tells nothing apart"
    assert farther(differences(0.2, 0.2), differences(0.1, 0.1), 9), "no spread at all"
    assert marks_of({0: best, 1: near, 2: far}) == {0: "smallest", 1: "tied"}
    assert marks_of({0: best, 1: near}) == {}, "where nothing can be told apart nothing is marked"
    assert marks_of({0: best}) == {0: "smallest"}
    zero = differences(0.0, 0.0, 0.0, 0.0, 0.0)
    assert marks_of({0: zero, 1: far, 2: zero}) == {0: "smallest", 2: "smallest"}


def test_the_seeds_of_several_are_the_observations() -> None:
    """Ten sets that agree within a seed are two observations, too few to tell anything apart."""
    values = {(str(k), seed): 0.3 + 0.1 * seed for seed in (0, 1) for k in range(5)}
    zero = dict.fromkeys(values, 0.0)
    assert observations(values) == {0: pytest.approx(0.3), 1: pytest.approx(0.4)}
    assert not farther(values, zero, 9)
    assert farther({pair: value for pair, value in values.items() if pair[1] == 0}, zero, 9)
