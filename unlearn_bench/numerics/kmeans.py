"""k-means on any device: Lloyd's algorithm from k-means++ starts, then Hartigan's exchanges. All restarts run at once.

Lloyd's algorithm stops at many partitions of nearly the same inertia, and a restart rarely reaches the best one.
Exchanges, which move single samples, then bring most restarts to the same few partitions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

MAX_STEPS = 300
TOLERANCE = 1e-4  # a restart ends when the summed squared shift of its centres is below this share of the variance
BLOCK = 2048  # samples processed at a time, so that they stay in the cache between distances and sums
EXCHANGED = 10  # restarts that exchanges refine: those of least inertia
EXCHANGE_BLOCK = 256  # samples among which one exchange is chosen
LEAST_GAIN = 1e-9  # least gain of an exchange, as a share of the mean squared norm: more than rounding


@dataclass(frozen=True)
class Clusters:
    """The partitions that R restarts reached.

    Attributes:
        labels: (R, n) int64, the cluster of each sample.
        inertia: (R,) float64, the summed squared distance of samples to their centres.
    """

    labels: Tensor
    inertia: Tensor

    @property
    def best(self) -> Tensor:
        """The clusters of the restart with the least inertia, (n,)."""
        return self.labels[self.inertia.argmin()]


def kmeans(x: Tensor, k: int, *, restarts: int, seed: int) -> Tensor:
    """Returns the cluster of each sample, (n,) int64, in the best partition of all restarts after :func:`refined`.

    Args:
        x: (n, d) float64, at least k samples.
        k: number of clusters.
        restarts: number of independent k-means++ starts.
        seed: of the starts, which are drawn on the CPU, so that a GPU draws the same ones.

    Raises:
        ValueError: fewer samples than clusters.

    Example:
        >>> x = torch.tensor([[0.0], [0.1], [5.0], [5.1]], dtype=torch.float64)
        >>> labels = kmeans(x, 2, restarts=5, seed=0)
        >>> (labels == labels[0]).tolist()
        [True, True, False, False]
    """
    if len(x) < k:
        raise ValueError(f"k-means of {k} clusters needs at least {k} samples, got {len(x)}")
    return refined(x, lloyd(x, plus_plus(x, k, restarts=restarts, seed=seed)), k).best


def refined(x: Tensor, reached: Clusters, k: int) -> Clusters:
    """Returns the partitions of least inertia after exchanges: at most ten, and only one of each inertia.

    Args:
        x: (n, d) float64.
        reached: the partitions of :func:`lloyd`.
        k: number of clusters.

    Example:
        >>> x = torch.tensor([[0.0], [0.1], [5.0], [5.1]], dtype=torch.float64)
        >>> reached = lloyd(x, plus_plus(x, 2, restarts=5, seed=0))
        >>> round(float(refined(x, reached, 2).inertia.min()), 6)
        0.01
    """
    inertia, order = reached.inertia.sort(stable=True)
    least = x.square().sum() * LEAST_GAIN / len(x)
    new = torch.cat([torch.ones_like(order[:1], dtype=torch.bool), inertia.diff() > least])
    chosen = order[new][:EXCHANGED]
    return exchange(x, reached.labels[chosen], k)


def exchange(x: Tensor, labels: Tensor, k: int) -> Clusters:
    """Returns partitions that no exchange improves. An exchange moves one sample to another cluster.

    Moving a sample from a cluster of a samples, whose centre is at squared distance A, to a cluster of b samples, whose
    centre is at B, lowers the inertia by A·a/(a − 1) − B·b/(b + 1). The search goes through the samples in blocks and
    makes the best exchange of each block at once. The last sample of a cluster never moves.

    Source: Hartigan, *Clustering Algorithms* (1975), chapter 4; Telgarsky and Vattani 2010 on its advantage over
    Lloyd's algorithm.

    Args:
        x: (n, d) float64.
        labels: (R, n) int64, the partitions to begin with; not changed.
        k: number of clusters.

    Example:
        >>> x = torch.tensor([[0.0], [0.1], [5.0], [5.1]], dtype=torch.float64)
        >>> exchange(x, torch.tensor([[0, 1, 1, 1]]), 2).labels
        tensor([[0, 0, 1, 1]])
    """
    labels, norms = labels.clone(), x.square().sum(dim=1)  # (n,)
    least = LEAST_GAIN * norms.mean()
    sums = torch.zeros(len(labels), k, x.shape[1]).to(x)
    for restart_sums, restart_labels in zip(sums, labels, strict=True):
        restart_sums.index_add_(0, restart_labels, x)
    counts = torch.stack([torch.bincount(restart_labels, minlength=k) for restart_labels in labels]).to(x)  # (R, k)
    active = torch.arange(len(labels), device=x.device)
    for _ in range(MAX_STEPS):
        improved = torch.zeros_like(active, dtype=torch.bool)
        for start in range(0, len(x), EXCHANGE_BLOCK):
            stop = start + EXCHANGE_BLOCK
            gain, position, target = _best_exchange(
                x[start:stop], norms[start:stop], labels[active, start:stop], sums[active], counts[active]
            )
            better = gain > least
            restart, sample, new = active[better], position[better] + start, target[better]
            old = labels[restart, sample]
            sums[restart, new] += x[sample]
            sums[restart, old] -= x[sample]
            counts[restart, new] += 1
            counts[restart, old] -= 1
            labels[restart, sample] = new
            improved |= better
        active = active[improved]
        if not len(active):
            break
    between = (sums.square().sum(dim=2) / counts.clamp(min=1)).sum(dim=1)
    return Clusters(labels, norms.sum() - between)


def _best_exchange(
    x: Tensor, norms: Tensor, labels: Tensor, sums: Tensor, counts: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the exchange that lowers the inertia of each partition most: gain, sample and new cluster, each (R,).

    Args:
        x: (B, d), samples.
        norms: (B,), their squared norms.
        labels: (R, B), their clusters.
        sums, counts: (R, k, d) and (R, k), of the clusters of all samples.
    """
    restarts, k, d = sums.shape
    centres = (sums / counts.clamp(min=1)[:, :, None]).view(-1, d)
    lengths = centres.square().sum(dim=1, keepdim=True)
    distances = torch.addmm(lengths, centres, x.T, alpha=-2).view(restarts, k, -1) + norms
    own = labels[:, None]
    size = counts.gather(1, labels)  # (R, B)
    leaving = torch.where(size > 1, distances.gather(1, own)[:, 0] * size / (size - 1).clamp(min=1), 0.0)
    cost = (distances * (counts / (counts + 1))[:, :, None]).scatter_(1, own, torch.inf)
    joining, target = cost.min(dim=1)  # (R, B)
    gain, sample = (leaving - joining).max(dim=1)
    return gain, sample, target.gather(1, sample[:, None])[:, 0]


def plus_plus(x: Tensor, k: int, *, restarts: int, seed: int) -> Tensor:
    """Returns k-means++ starts, (restarts, k, d): samples drawn in proportion to their squared distance.

    Each centre is the best of 2 + ln k draws: the one that lowers the summed squared distance most. scikit-learn does
    the same (Arthur and Vassilvitskii 2007, section 5).

    Args:
        x: (n, d) float64.
        k: number of clusters.
        restarts: number of starts.
        seed: of the draws, made on the CPU.

    Example:
        >>> x = torch.tensor([[0.0], [0.1], [5.0], [5.1]], dtype=torch.float64)
        >>> plus_plus(x, 2, restarts=5, seed=0).shape
        torch.Size([5, 2, 1])
    """
    n, trials = len(x), 2 + int(math.log(k))
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand((k, restarts, trials), generator=generator, dtype=torch.float64).to(x.device)
    norms = x.square().sum(dim=1)  # (n,)
    restart = torch.arange(restarts, device=x.device)

    def distance(chosen: Tensor) -> Tensor:
        """Returns the squared distances of the chosen samples from all, (chosen, n)."""
        return torch.addmm(norms, x[chosen], x.T, alpha=-2).add_(norms[chosen][:, None]).clamp_(min=0)

    chosen = (drawn[0, :, 0] * n).long().clamp(max=n - 1)  # (restarts,)
    centres, nearest = [x[chosen]], distance(chosen)
    for u in drawn[1:]:
        reach = nearest.cumsum(dim=1)  # (restarts, n)
        candidates = torch.searchsorted(reach, u * reach[:, -1:]).clamp(max=n - 1)  # (restarts, trials)
        after = distance(candidates.flatten()).view(restarts, trials, n).minimum(nearest[:, None])
        best = after.sum(dim=2).argmin(dim=1)
        nearest = after[restart, best]
        centres.append(x[candidates[restart, best]])
    return torch.stack(centres, dim=1)


def lloyd(x: Tensor, centres: Tensor) -> Clusters:
    """Returns the partition that Lloyd's algorithm reaches from each start; all R starts share each matrix product.

    A restart ends when no sample changes its cluster, when its centres hardly move, or after 300 steps. A centre
    without samples stays in its position.

    Args:
        x: (n, d) float64.
        centres: (R, k, d) float64; not changed.

    Example:
        >>> x = torch.tensor([[0.0], [0.1], [5.0], [5.1]], dtype=torch.float64)
        >>> lloyd(x, torch.tensor([[[0.0], [1.0]]], dtype=torch.float64)).labels
        tensor([[0, 0, 1, 1]])
    """
    n, device = len(x), x.device
    centres = centres.clone()
    labels = torch.full((len(centres), n), -1, device=device)
    limit = TOLERANCE * x.var(dim=0, correction=0).mean()
    norms = x.square().sum()
    active = torch.arange(len(centres), device=device)
    for _ in range(MAX_STEPS):
        nearest, _, means = _step(x, centres[active])
        ends = (nearest == labels[active]).all(dim=1) | ((means - centres[active]).square().sum(dim=(1, 2)) <= limit)
        labels[active], centres[active] = nearest, means
        active = active[~ends]
        if not len(active):
            break
    nearest, cost, _ = _step(x, centres)  # the clusters of the last centres
    return Clusters(nearest, cost + norms)


def _step(x: Tensor, centres: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns each sample's nearest centre (R, n), the inertia less Σ‖x‖² (R,), and each cluster's mean (R, k, d)."""
    restarts, k, d = centres.shape
    flat = centres.reshape(-1, d)
    norms = flat.square().sum(dim=1, keepdim=True)  # (R·k, 1)
    first = torch.arange(0, restarts * k, k, device=x.device)[:, None]  # of each restart, among all centres
    sums, cost = torch.zeros_like(flat), torch.zeros(restarts, dtype=x.dtype, device=x.device)
    parts = []
    for block in x.split(BLOCK):
        distances = torch.addmm(norms, flat, block.T, alpha=-2).view(restarts, k, -1)  # less the samples' own norms
        nearest = distances.min(dim=1)
        cost += nearest.values.sum(dim=1)
        parts.append(nearest.indices)
        for rows in nearest.indices + first:  # (block,), one restart's clusters among all centres
            sums.index_add_(0, rows, block)
    labels = torch.cat(parts, dim=1)
    counts = torch.bincount((labels + first).flatten(), minlength=len(flat))[:, None]
    means = torch.where(counts > 0, sums / counts.clamp(min=1), flat)
    return labels, cost, means.view_as(centres)
