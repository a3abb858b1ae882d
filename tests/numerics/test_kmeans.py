"""k-means against scikit-learn from the same starts, and the starts against their definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from unlearn_bench.numerics.kmeans import (
    BLOCK,
    EXCHANGE_BLOCK,
    EXCHANGED,
    Clusters,
    exchange,
    kmeans,
    lloyd,
    plus_plus,
    refined,
)


def blobs(n: int, k: int = 10, d: int = 20, spread: float = 1.0) -> Tensor:
    """Returns (n, d) float64 samples around k centres."""
    generator = torch.Generator().manual_seed(0)
    centres = 2 * torch.randn(k, d, generator=generator, dtype=torch.float64)
    which = torch.randint(0, k, (n,), generator=generator)
    return centres[which] + spread * torch.randn(n, d, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("spread", [0.5, 2.0])
def test_every_restart_ends_where_scikit_learn_ends_from_the_same_start(spread: float) -> None:
    x = blobs(2 * BLOCK + 7, spread=spread)
    starts = plus_plus(x, 10, restarts=4, seed=1)
    found = lloyd(x, starts)
    for restart, start in enumerate(starts):
        reference = KMeans(10, init=start.numpy(), n_init=1).fit(x.numpy())
        assert np.array_equal(found.labels[restart].numpy(), reference.labels_)
        assert float(found.inertia[restart]) == pytest.approx(reference.inertia_, rel=1e-12)


def test_the_best_restart_is_the_one_of_least_inertia() -> None:
    labels = torch.tensor([[0, 1], [1, 0]])
    assert Clusters(labels, torch.tensor([2.0, 1.0])).best.tolist() == [1, 0]


def test_starts_are_samples_and_far_apart() -> None:
    x = blobs(500, k=5, spread=0.01)
    for start in plus_plus(x, 5, restarts=3, seed=0):
        distances = torch.cdist(start, x)
        assert float(distances.min(dim=1).values.max()) < 1e-6
        # so little spread that draws in proportion to squared distances meet every blob once
        assert float(torch.pdist(start).min()) > 1


def test_identical_samples_are_one_cluster_of_no_inertia() -> None:
    x = torch.ones(20, 3, dtype=torch.float64)
    found = lloyd(x, plus_plus(x, 4, restarts=2, seed=0))
    assert found.inertia.tolist() == pytest.approx([0, 0], abs=1e-9)
    assert found.labels.unique().numel() == 1


def test_a_centre_without_samples_stays() -> None:
    x = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    found = lloyd(x, torch.tensor([[[0.0], [1.0], [9.0]]], dtype=torch.float64))
    assert found.labels.tolist() == [[0, 1]]


def test_the_seed_decides() -> None:
    x = blobs(300, spread=3.0)
    assert torch.equal(kmeans(x, 10, restarts=2, seed=5), kmeans(x, 10, restarts=2, seed=5))
    assert not torch.equal(plus_plus(x, 10, restarts=2, seed=5), plus_plus(x, 10, restarts=2, seed=6))


def total_inertia(x: Tensor, labels: Tensor) -> float:
    """The summed squared distance to the means of clusters, as it is defined."""
    parts = (x[labels == cluster] for cluster in labels.unique())
    return sum(float((part - part.mean(dim=0)).square().sum()) for part in parts)


def test_exchanges_end_where_moving_no_sample_helps() -> None:
    """Every sample is moved to every cluster, and the inertia is computed from nothing."""
    x = blobs(60, k=4, d=3, spread=3.0)
    start = lloyd(x, plus_plus(x, 4, restarts=3, seed=0))
    found = exchange(x, start.labels, 4)
    for restart in range(3):
        labels, inertia = found.labels[restart], float(found.inertia[restart])
        assert inertia == pytest.approx(total_inertia(x, labels), rel=1e-12)
        for sample in range(60):
            for to in range(4):
                moved = labels.clone()
                moved[sample] = to
                assert total_inertia(x, moved) > inertia * (1 - 1e-6)


def test_exchanges_lower_the_inertia_that_lloyd_leaves() -> None:
    x = blobs(EXCHANGE_BLOCK * 2 + 7, spread=3.0)
    start = lloyd(x, plus_plus(x, 10, restarts=8, seed=0))
    found = exchange(x, start.labels, 10)
    assert bool((found.inertia <= start.inertia * (1 + 1e-12)).all())
    assert float((found.inertia / start.inertia).min()) < 1 - 1e-4
    assert bool((start.labels >= 0).all())  # it is given a copy


def test_a_bad_start_is_mended_sample_by_sample_and_no_cluster_is_emptied() -> None:
    """Two pairs, far apart, in the wrong clusters; the third cluster's only sample stays."""
    x = torch.tensor([[0.0], [1.0], [10.0], [11.0], [99.0]], dtype=torch.float64)
    found = exchange(x, torch.tensor([[0, 1, 0, 1, 2]]), 3)
    assert float(found.inertia) == pytest.approx(1.0)
    assert found.labels[0].bincount().tolist() == [2, 2, 1]
    assert found.labels[0][0] == found.labels[0][1]


def test_the_restarts_of_least_inertia_are_refined_each_once() -> None:
    x = blobs(300, spread=3.0)
    found = lloyd(x, plus_plus(x, 10, restarts=30, seed=0))
    twice = Clusters(found.labels.repeat(2, 1), found.inertia.repeat(2))
    once, again = refined(x, found, 10), refined(x, twice, 10)
    assert torch.equal(once.labels, again.labels)
    assert len(once.labels) == EXCHANGED
    assert float(once.inertia.min()) <= float(found.inertia.min())


def test_features_disturbed_as_by_another_processor_make_the_same_clusters() -> None:
    x = blobs(600, spread=3.0)  # overlapping: a single restart often ends elsewhere
    best = kmeans(x, 10, restarts=50, seed=0)
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        other = kmeans(x * (1 + 1e-6 * noise), 10, restarts=50, seed=seed)
        assert len(set(zip(best.tolist(), other.tolist(), strict=True))) == 10  # the same up to names
