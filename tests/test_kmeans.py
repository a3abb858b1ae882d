"""k-means against scikit-learn from the same starts, and the starts against their definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from unlearn_bench.kmeans import BLOCK, Clusters, kmeans, lloyd, plus_plus


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
