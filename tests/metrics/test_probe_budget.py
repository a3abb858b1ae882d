"""Linear probes with few images: which images, and what scikit-learn reads from them."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from support.imaginary import drawn, imaginary

from unlearn_bench.metrics.probe_budget import lp_forget_1, lp_forget_2, lp_forget_10, spread_positions
from unlearn_bench.metrics.probing import lp_forget
from unlearn_bench.models.outputs import ModelOutputs

BUDGETS = {1: lp_forget_1, 2: lp_forget_2, 10: lp_forget_10}


@pytest.mark.parametrize("percent", BUDGETS)
def test_equals_scikit_learn_on_the_chosen_images(percent: int) -> None:
    outputs = imaginary(3, images=600)
    x = torch.cat([outputs.retain.features, outputs.forget.features]).double().numpy()
    y = torch.cat([outputs.retain.labels, outputs.forget.labels]).numpy()
    chosen = []
    for label in range(4):  # the middles of as many equal stretches of the class as it has images to give
        own = [position for position, other in enumerate(y) if other == label]
        size = max(1, int(len(own) * percent / 100 + 0.5))
        chosen += [own[int((k + 0.5) * len(own) / size)] for k in range(size)]
    labels = torch.cat([outputs.retain.labels, outputs.forget.labels])
    assert spread_positions(labels, percent).tolist() == chosen
    scaler = StandardScaler().fit(x[chosen])
    reference = LogisticRegression(tol=1e-10, max_iter=10_000).fit(scaler.transform(x[chosen]), y[chosen])
    test = scaler.transform(outputs.test_forget.features.double().numpy())
    expected = 100 * reference.score(test, outputs.test_forget.labels.numpy())
    assert BUDGETS[percent](outputs) == pytest.approx(expected, abs=1e-9)


def test_every_class_gives_at_least_one_image_and_no_image_comes_twice() -> None:
    labels = torch.tensor([5] + [0] * 149 + [2] * 1000)
    for percent, sizes in ((1, (1, 1, 10)), (2, (3, 1, 20)), (10, (15, 1, 100)), (100, (149, 1, 1000))):
        chosen = spread_positions(labels, percent)
        assert len(set(chosen.tolist())) == len(chosen)
        assert [int((labels[chosen] == label).sum()) for label in (0, 5, 2)] == list(sizes)


def test_the_images_are_the_same_of_every_model() -> None:
    """Features and logits of another model choose no other images: only labels and positions do."""
    labels = torch.tensor(np.random.default_rng(0).integers(0, 4, 400))
    first, second = (drawn(labels.numpy(), seed) for seed in (1, 2))
    assert torch.equal(spread_positions(first.labels, 10), spread_positions(second.labels, 10))


def test_kept_features_need_fewer_images_than_forgotten_ones() -> None:
    kept = imaginary(0, images=900)
    scrambled = ModelOutputs(
        kept.retain,
        drawn(np.full(300, 3), 7),
        kept.test_retain,
        kept.test_forget,
    )
    noise = torch.tensor(np.random.default_rng(5).normal(size=(350, 6)) * 3, dtype=torch.float32)
    scrambled.forget.features.add_(noise[:300])
    scrambled.test_forget.features.add_(noise[:150])
    fresh = imaginary(0, images=900)
    curve = [lp_forget_1(fresh), lp_forget_2(fresh), lp_forget_10(fresh), lp_forget(fresh)]
    other = [lp_forget_1(scrambled), lp_forget_2(scrambled), lp_forget_10(scrambled), lp_forget(scrambled)]
    assert all(high > low for high, low in zip(curve, other, strict=True))


def test_one_image_of_each_class_is_enough_for_a_probe() -> None:
    """Ten images and 512 features, most of them constant: the smallest problem that a data set can give."""
    x = torch.zeros(10, 512)
    x[:, :10] = torch.eye(10)
    part = drawn(np.arange(10), 0, classes=10)
    part.features.resize_(10, 512).copy_(x)
    assert lp_forget_1(ModelOutputs(part, part, part, part)) == 100
