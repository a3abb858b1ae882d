"""Nearest neighbours: against scikit-learn, leave-one-out, ties, vectors of length 0, blocks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from support.imaginary import imaginary

from unlearn_bench.core.errors import UnmeasurableError
from unlearn_bench.metrics import neighbours
from unlearn_bench.metrics.neighbours import knn_forget, neighbours_label
from unlearn_bench.models.outputs import ModelOutputs, Outputs


def one(features: list[list[float]], labels: list[int]) -> Outputs:
    return Outputs(torch.tensor(features), torch.zeros(len(labels), 2), torch.tensor(labels))


@pytest.mark.parametrize("seed", range(4))
def test_equals_scikit_learn_without_the_image_itself(seed: int) -> None:
    outputs = imaginary(seed, images=90)
    for part in (outputs.retain, outputs.forget):  # classes that overlap
        part.features.add_(2.5 * torch.randn(part.features.shape, generator=torch.Generator().manual_seed(seed)))
    x = torch.cat([outputs.retain.features, outputs.forget.features]).double().numpy()
    y = torch.cat([outputs.retain.labels, outputs.forget.labels]).numpy()
    hits = []
    for k in range(len(outputs.retain), len(y)):
        others = np.arange(len(y)) != k
        found = KNeighborsClassifier(5, metric="cosine").fit(x[others], y[others])
        hits.append(found.predict(x[k : k + 1])[0] == y[k])
    assert knn_forget(outputs) == pytest.approx(100 * np.mean(hits), abs=1e-9)
    assert 0 < np.mean(hits) < 1


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = imaginary(1)
    expected = knn_forget(outputs)
    for block in (1, 7 * 400, 10**9):
        monkeypatch.setattr(neighbours, "BLOCK", block)
        assert knn_forget(outputs) == expected


def test_only_directions_count_and_the_input_stays() -> None:
    outputs = imaginary(2)
    features = outputs.forget.features.double()
    before = features.clone()
    scaled = replace(outputs, forget=replace(outputs.forget, features=features * 1e6))
    assert knn_forget(scaled) == knn_forget(outputs)
    labels = outputs.forget.labels
    neighbours_label(features, labels, torch.arange(3))
    assert torch.equal(features, before)


def test_an_image_is_not_its_own_neighbour_but_its_copy_is() -> None:
    lonely = one([[1.0, 0.0], [0.9, 0.1], [0.8, 0.2]], [0, 1, 1])
    assert neighbours_label(lonely.features, lonely.labels, torch.tensor([0]), k=1).tolist() == [1]
    twins = one([[1.0, 0.0], [1.0, 0.0], [0.9, 0.1]], [0, 2, 1])
    assert neighbours_label(twins.features, twins.labels, torch.tensor([0]), k=1).tolist() == [2]


def test_ties_go_to_the_smallest_label_in_any_order() -> None:
    """Votes 2 : 2 : 1, then six images at the same place: the smallest labels are the nearest."""
    votes = one([[1.0, 0.0], *([[1.0, 0.1]] * 5)], [9, 3, 3, 1, 1, 8])
    assert neighbours_label(votes.features, votes.labels, torch.tensor([0])).tolist() == [1]
    for order in ([0, 1, 2, 3, 4, 5, 6], [0, 6, 5, 4, 3, 2, 1], [0, 4, 1, 6, 2, 5, 3]):
        labels = torch.tensor([9, 7, 7, 7, 2, 2, 2])[order]
        assert neighbours_label(torch.full((7, 3), 0.3), labels, torch.tensor([0])).tolist() == [2]


def test_vectors_of_length_zero_have_a_value() -> None:
    """Similarity 0 to all, so that the smallest labels win: a collapsed model recognises class 0 alone."""
    zeros = torch.zeros(12, 3)
    labels = torch.tensor([0] * 6 + [1] * 6)
    assert neighbours_label(zeros, labels, torch.arange(12)).tolist() == [0] * 12


def test_few_images_are_all_neighbours_and_one_has_none() -> None:
    pair = one([[1.0, 0.0], [0.0, 1.0]], [0, 1])
    assert neighbours_label(pair.features, pair.labels, torch.tensor([0, 1])).tolist() == [1, 0]
    nobody, single = pair.where(torch.tensor([False, False])), pair.where(torch.tensor([True, False]))
    with pytest.raises(UnmeasurableError, match="two training images"):
        knn_forget(ModelOutputs(nobody, single, pair, pair))


def test_chance_where_features_say_nothing() -> None:
    """Four classes of equal size and features without them: a quarter, up to the draw."""
    rng = np.random.default_rng(0)
    x, labels = torch.tensor(rng.normal(size=(2000, 16))), torch.arange(2000) % 4
    found = neighbours_label(x, labels, torch.arange(2000))
    assert float((found == labels).double().mean()) == pytest.approx(0.25, abs=0.04)
