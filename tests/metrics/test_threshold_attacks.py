"""Threshold attacks on D_f: curves by scikit-learn and by naive loops, ties, few samples, and chance."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve
from support.imaginary import imaginary, with_logits

from unlearn_bench.core.errors import UnmeasurableError
from unlearn_bench.metrics import metrics
from unlearn_bench.metrics.membership_scores import label_confidence, loss
from unlearn_bench.metrics.threshold_attacks import (
    area,
    auc_forget,
    balanced_forget,
    best_balanced_accuracy,
    margin,
    rate_at,
    tpr_forget_01,
    tpr_forget_1,
)
from unlearn_bench.models.outputs import ModelOutputs, Outputs

NAMES = ("auc_forget", "balanced_forget", "tpr_forget_1", "tpr_forget_01")
RNG = np.random.default_rng(0)
SCORES = [  # members, others: apart, equal, reversed, with many ties, one of each
    (RNG.normal(1, 1, 400), RNG.normal(0, 1, 250)),
    (RNG.normal(0, 1, 300), RNG.normal(0, 1, 300)),
    (RNG.normal(-1, 1, 90), RNG.normal(0, 1, 1500)),
    (RNG.integers(0, 4, 500).astype(float), RNG.integers(0, 3, 2900).astype(float)),
    (np.array([2.0]), np.array([1.0])),
    (np.zeros(7), np.zeros(5)),
]


@pytest.mark.parametrize(("members", "others"), SCORES)
def test_the_curve_equals_scikit_learns(members: np.ndarray, others: np.ndarray) -> None:
    truth, score = np.repeat([1, 0], [len(members), len(others)]), np.concatenate([members, others])
    fpr, tpr, _ = roc_curve(truth, score, drop_intermediate=False)
    assert area(members, others) == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
    assert best_balanced_accuracy(members, others) == pytest.approx(((tpr + 1 - fpr) / 2).max(), abs=1e-12)
    for one_in in (1, 2, 100, 1000):
        expected = tpr[fpr * one_in <= 1 + 1e-12].max()
        assert rate_at(members, others, one_in) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("members", "others"), SCORES)
def test_the_false_positive_rate_is_never_above_its_limit_and_the_threshold_is_the_smallest(
    members: np.ndarray, others: np.ndarray
) -> None:
    for one_in in (10, 100, 1000):
        candidates = np.array([-np.inf, *others, *members])
        exceeding = (others > candidates[:, None]).sum(axis=1)
        smallest = candidates[one_in * exceeding <= len(others)].min()
        assert rate_at(members, others, one_in) == np.mean(members > smallest)


@pytest.mark.parametrize("n", [100, 199, 200, 700, 2900, 5700])
def test_the_number_of_allowed_false_positives_is_exact(n: int) -> None:
    """0.01 · 2,900 is below 29 in floating point: the threshold must be the thirtieth largest all the same."""
    others = np.arange(n, dtype=float)
    members = others + 0.5
    assert rate_at(members, others, 100) * n == pytest.approx(n // 100 + 1)


def test_few_unseen_samples_allow_no_false_positive() -> None:
    members, others = np.array([0.0, 1.0, 2.0, 3.0]), np.linspace(-5, 2, 99)
    assert rate_at(members, others, 100) == 0.25
    assert rate_at(members, np.append(others, 9.0), 100) == 0.25, "of a hundred, the largest is allowed"
    assert rate_at(members, np.append(others, 9.0), 1000) == 0


def test_metrics_read_the_forget_set_and_its_counterpart_alone() -> None:
    outputs = imaginary(1, forgotten_gain=1.0)
    members, others = margin(outputs.forget), margin(outputs.test_forget)
    values = {name: metrics.get(name).function(outputs) for name in NAMES}
    assert values == {
        "auc_forget": area(members, others),
        "balanced_forget": best_balanced_accuracy(members, others),
        "tpr_forget_1": rate_at(members, others, 100),
        "tpr_forget_01": rate_at(members, others, 1000),
    }
    changed = replace(outputs, retain=outputs.test_retain, test_retain=outputs.retain)
    assert {name: metrics.get(name).function(changed) for name in NAMES} == values


def test_margin_confidence_and_loss_order_samples_alike() -> None:
    part = imaginary(3).retain
    order = margin(part).argsort()
    assert np.array_equal(label_confidence(part).argsort(), order)
    assert np.array_equal((-loss(part)).argsort(), order)
    p = label_confidence(part)
    assert margin(part) == pytest.approx(np.log(p / (1 - p)), abs=1e-9)


def test_certain_samples_do_not_tie() -> None:
    """At logits of 40 and 41, p_y is 1 in float64 for both, and the loss has one digit left."""
    members, others = with_logits([[41.0, 0.0]]), with_logits([[40.0, 0.0]])
    assert label_confidence(members) == label_confidence(others) == 1
    assert auc_forget(ModelOutputs(others, members, others, others)) == 1


def test_equal_scores_are_chance_and_extreme_logits_have_a_value() -> None:
    constant = with_logits([[1.0, 0.0]] * 5)
    outputs = ModelOutputs(constant, constant, constant, constant)
    assert [metrics.get(name).function(outputs) for name in NAMES] == [0.5, 0.5, 0, 0]
    extreme = with_logits([[-1e9, 3e38], [3e38, -3e38], [1.0, 0.0]])
    outputs = ModelOutputs(constant, extreme, constant, constant)
    assert all(0 <= metrics.get(name).function(outputs) <= 1 for name in NAMES)


def test_a_single_class_has_equal_scores() -> None:
    single = with_logits([[1.0], [2.0]])
    assert auc_forget(ModelOutputs(single, single, single, single)) == 0.5


def test_the_stated_values_of_a_retrained_model_are_those_of_equal_distributions() -> None:
    """n of D_f, m unseen: the mean over many draws against what the metrics say of themselves."""
    rng, n, m = np.random.default_rng(1), 500, 250
    pairs = [(rng.normal(size=n), rng.normal(size=m)) for _ in range(400)]
    means = {
        "area": np.mean([area(*pair) for pair in pairs]),
        "best": np.mean([best_balanced_accuracy(*pair) for pair in pairs]),
        "1 %": np.mean([rate_at(*pair, 100) for pair in pairs]),
        "0.1 %": np.mean([rate_at(*pair, 1000) for pair in pairs]),
    }
    assert means["area"] == pytest.approx(0.5, abs=0.01)
    assert means["best"] - 0.5 == pytest.approx(0.31 * (1 / n + 1 / m) ** 0.5, rel=0.1)
    assert means["1 %"] == pytest.approx(3 / 251, rel=0.2)
    assert means["0.1 %"] == pytest.approx(1 / 251, rel=0.25)


def test_memory_raises_every_value() -> None:
    fair, remembered = imaginary(0, images=3000), imaginary(0, forgotten_gain=3.0, images=3000)
    for metric in (auc_forget, balanced_forget, tpr_forget_1, tpr_forget_01):
        assert metric(remembered) > metric(fair) + 0.1


def test_a_forget_set_without_counterpart_has_no_value() -> None:
    nothing: Outputs = imaginary().forget
    outputs = ModelOutputs(nothing, nothing, nothing, nothing, has_counterpart=False)
    with pytest.raises(UnmeasurableError, match="test images that correspond to the forget set"):
        auc_forget(outputs)
    assert all("list" in metrics.get(name).undefined for name in NAMES)
