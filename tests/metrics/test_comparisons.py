"""Each score of likeness against an independent reference, in closed form, and the contracts that all keep."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from sklearn.metrics import accuracy_score

from unlearn_bench.core.errors import UnmeasurableError
from unlearn_bench.metrics import metrics
from unlearn_bench.metrics.comparisons import comparison, comparisons
from unlearn_bench.metrics.comparisons.features import cka_forget, cka_retain
from unlearn_bench.metrics.comparisons.predictions import agreement_forget, agreement_retain, tow, tv_predictions
from unlearn_bench.metrics.comparisons.probabilities import (
    activation_distance,
    activation_distance_retain,
    js_divergence,
    tv_probabilities,
)
from unlearn_bench.models.outputs import ModelOutputs, Outputs

K, FORGOTTEN = 5, 4
SIZES = {"retain": 120, "forget": 40, "test_retain": 60, "test_forget": 20}


def model(seed: int, labels_seed: int = 0) -> ModelOutputs:
    """Outputs of an imaginary model on the same images: the last class is forgotten."""
    draw, label = np.random.default_rng(seed), np.random.default_rng(labels_seed)
    parts = {}
    for name, n in SIZES.items():
        labels = np.full(n, FORGOTTEN) if "forget" in name else label.integers(0, FORGOTTEN, n)
        logits = draw.normal(size=(n, K)) * 2 + 2 * np.eye(K)[labels]
        features = draw.normal(size=(n, 6)) + labels[:, None]
        parts[name] = Outputs(*(torch.tensor(x, dtype=torch.float32) for x in (features, logits)), torch.tensor(labels))
    return ModelOutputs(**parts)


PAIRS = [(model(seed), model(seed + 100)) for seed in range(4)]
both = pytest.mark.parametrize(("ours", "theirs"), PAIRS)


def softmax(part: Outputs) -> np.ndarray:
    z = part.logits.numpy().astype(np.float64)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def predicted(part: Outputs) -> list[int]:
    return [int(np.argmax(row)) for row in part.logits.numpy()]


@both
def test_distances_of_probabilities_equal_naive_ones(ours: ModelOutputs, theirs: ModelOutputs) -> None:
    for score, part in ((activation_distance, "forget"), (activation_distance_retain, "test_retain")):
        p, q = softmax(getattr(ours, part)), softmax(getattr(theirs, part))
        distances = [sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) ** 0.5 for x, y in zip(p, q, strict=True)]
        assert score(ours, theirs) == pytest.approx(sum(distances) / len(distances), abs=1e-12)
    expected = np.mean(jensenshannon(softmax(ours.forget), softmax(theirs.forget), axis=1) ** 2)
    assert js_divergence(ours, theirs) == pytest.approx(expected, abs=1e-12)


@both
def test_scores_of_predictions_equal_scikit_learn(ours: ModelOutputs, theirs: ModelOutputs) -> None:
    for score, part in ((agreement_forget, "forget"), (agreement_retain, "test_retain")):
        pair = (predicted(getattr(model, part)) for model in (ours, theirs))
        assert score(ours, theirs) == pytest.approx(100 * accuracy_score(*pair))
    product = 1.0
    for part in ("forget", "retain", "test_retain"):
        a, b = (accuracy_score(getattr(m, part).labels, predicted(getattr(m, part))) for m in (ours, theirs))
        product *= 1 - abs(a - b)
    assert tow(ours, theirs) == pytest.approx(product)
    a, b = (Counter(predicted(m.forget)) for m in (ours, theirs))
    expected = sum(abs(a[k] - b[k]) for k in range(K)) / 2 / SIZES["forget"]
    assert tv_predictions(ours, theirs) == pytest.approx(expected)


@both
def test_cka_compares_the_same_images(ours: ModelOutputs, theirs: ModelOutputs) -> None:
    for score, part in ((cka_forget, "forget"), (cka_retain, "test_retain")):
        x, y = (getattr(m, part).features.numpy().astype(np.float64) for m in (ours, theirs))
        x, y = x - x.mean(axis=0), y - y.mean(axis=0)
        k, m = x @ x.T, y @ y.T  # Gram matrices of all pairs of images
        assert score(ours, theirs) == pytest.approx((k * m).sum() / np.linalg.norm(k) / np.linalg.norm(m), abs=1e-12)
    one = replace(ours, forget=ours.forget.where(torch.arange(SIZES["forget"]) == 0))
    with pytest.raises(UnmeasurableError, match="the same features"):
        cka_forget(one, one)


@both
def test_mean_probabilities_leave_out_a_class_that_is_forgotten_whole(ours: ModelOutputs, theirs: ModelOutputs) -> None:
    p, q = (softmax(m.forget)[:, :FORGOTTEN] for m in (ours, theirs))
    means = [(x / x.sum(axis=1, keepdims=True)).mean(axis=0) for x in (p, q)]
    assert tv_probabilities(ours, theirs) == pytest.approx(np.abs(means[0] - means[1]).sum() / 2, abs=1e-12)

    def with_one_image(m: ModelOutputs) -> ModelOutputs:
        """An image of the class is retained, so a retrained model knows the class."""
        labels = m.retain.labels.clone()
        labels[0] = FORGOTTEN
        return replace(m, retain=replace(m.retain, labels=labels))

    means = [softmax(m.forget).mean(axis=0) for m in (ours, theirs)]
    kept = tv_probabilities(with_one_image(ours), with_one_image(theirs))
    assert kept == pytest.approx(np.abs(means[0] - means[1]).sum() / 2, abs=1e-12)


def test_a_bias_on_the_forgotten_class_passes_outputs_but_neither_features_nor_tv_of_probabilities() -> None:
    """What ``hides`` says of the cheat: retrained here is a model whose outputs differ by that bias alone."""
    original = model(0)
    never = torch.zeros(K).index_fill(0, torch.tensor(FORGOTTEN), -1e9)
    parts = {name: getattr(original, name) for name in SIZES}
    cheat = ModelOutputs(**{name: replace(part, logits=part.logits + never) for name, part in parts.items()})
    other = model(1)
    retrained = ModelOutputs(
        **{
            name: replace(getattr(other, name), logits=part.logits)
            for name, part in vars(cheat).items()
            if name in SIZES
        }
    )
    for score in (activation_distance, js_divergence, tv_predictions):
        assert score(cheat, retrained) == pytest.approx(0)
        assert score(original, retrained) > 0.1
    for score in (agreement_forget, tow):
        assert score(cheat, retrained) > score(original, retrained)
    for score in (cka_forget, cka_retain, tv_probabilities):
        assert score(cheat, retrained) == pytest.approx(score(original, retrained), abs=1e-9)


@pytest.mark.parametrize("name", comparisons.names())
def test_every_score_keeps_its_bounds_its_best_value_and_ignores_the_order_of_images(name: str) -> None:
    entry = comparisons.get(name)
    low, high = entry.bounds
    for ours, theirs in PAIRS:
        value = entry.function(ours, theirs)
        assert low <= value <= high
        assert value != pytest.approx(entry.best, abs=1e-3), "these models differ"
        assert entry.function(ours, ours) == pytest.approx(entry.best, abs=1e-12)
        assert entry.function(theirs, ours) == pytest.approx(value, abs=1e-12), "a likeness is mutual"
        shuffled = [replace(m, **{part: turned(getattr(m, part)) for part in SIZES}) for m in (ours, theirs)]
        assert entry.function(*shuffled) == pytest.approx(value, abs=1e-12)
    assert entry.shows
    assert entry.hides


def turned(part: Outputs) -> Outputs:
    order = torch.randperm(len(part), generator=torch.Generator().manual_seed(1))
    return Outputs(part.features[order], part.logits[order], part.labels[order])


@pytest.mark.parametrize("name", comparisons.names())
def test_a_score_reads_what_it_says_and_changes_nothing(name: str) -> None:
    entry, (ours, theirs) = comparisons.get(name), PAIRS[0]
    before = [getattr(getattr(ours, part), what).clone() for part in SIZES for what in ("features", "logits")]
    value = entry.function(ours, theirs)
    after = [getattr(getattr(ours, part), what) for part in SIZES for what in ("features", "logits")]
    assert all(torch.equal(x, y) for x, y in zip(before, after, strict=True))
    unread = "logits" if entry.reads == "features" else "features"
    other = {p: replace(getattr(ours, p), **{unread: -3 * getattr(ours, p).__dict__[unread].flip(1)}) for p in SIZES}
    assert entry.function(replace(ours, **other), theirs) == value


def test_outputs_that_differ_in_everything_are_at_the_worst_bound() -> None:
    sure = [
        ModelOutputs(
            **{p: replace(getattr(model(0), p), logits=999 * torch.eye(K)[c].repeat(n, 1)) for p, n in SIZES.items()}
        )
        for c in (0, 1)
    ]
    assert activation_distance(*sure) == pytest.approx(2**0.5)
    assert js_divergence(*sure) == pytest.approx(np.log(2))
    assert [agreement_forget(*sure), tv_predictions(*sure), tv_probabilities(*sure)] == [0, 1, pytest.approx(1)]


def test_names_do_not_repeat_those_of_metrics_and_the_best_value_is_a_bound() -> None:
    assert not set(comparisons.names()) & set(metrics.names())
    assert {entry.better for entry in comparisons} == {"higher", "lower"}
    with pytest.raises(ValueError, match="the best value is 2, expected one of the bounds, 0 or 1"):
        comparison(label="x", bounds=(0, 1), best=2, source="x")
