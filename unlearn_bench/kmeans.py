"""k-means: Lloyd's algorithm from k-means++ starts, then Hartigan's exchanges; all restarts at once, on any device.

Lloyd's algorithm stops at many partitions of nearly the same inertia, of which a restart meets the best one rarely.
Moving single samples on from there brings most of them to the same few ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

MAX_STEPS = 300
TOLERANCE = 1e-4  # a restart ends when its centres move, squared and summed, by less than this share of the variance
BLOCK = 2048  # samples a step handles at a time: they stay in the cache between distances and sums
EXCHANGED = 10  # restarts that go on by exchanges, those of least inertia
EXCHANGE_BLOCK = 256  # samples of which one is moved at a time
LEAST_GAIN = 1e-9  # of an exchange, as a share of the mean squared norm: more than rounding


@dataclass(frozen=True)
class Clusters:
    """What each of R restarts came to.

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
    """Returns the cluster of each sample, (n,) int64: the best of some restarts, see :func:`refined`.

    Args:
        x: (n, d) float64, at least k samples.
        k: number of clusters.
        restarts: runs from independent k-means++ starts.
        seed: of the starts, which are drawn on the CPU so that a GPU draws the same.

    Raises:
        ValueError: fewer samples than clusters.
    """
    if len(x) < k:
        raise ValueError(f"{len(x)} samples cannot make {k} clusters")
    return refined(x, lloyd(x, plus_plus(x, k, restarts=restarts, seed=seed)), k).best


def refined(x: Tensor, found: Clusters, k: int) -> Clusters:
    """Returns what exchanges make of the restarts of least inertia, ten at most, each inertia once.

    Args:
        x: (n, d) float64.
        found: what Lloyd's algorithm came to.
        k: number of clusters.
    """
    inertia, order = found.inertia.sort(stable=True)
    least = x.square().sum() * LEAST_GAIN / len(x)
    new = torch.cat([torch.ones_like(order[:1], dtype=torch.bool), inertia.diff() > least])
    chosen = order[new][:EXCHANGED]
    return exchange(x, found.labels[chosen], k)


def exchange(x: Tensor, labels: Tensor, k: int) -> Clusters:
    """Returns the partitions that no exchange improves: every one lowers the inertia by moving a sample.

    Moving a sample from a cluster of a samples at squared distance A to one of b at B lowers it by A·a/(a − 1) −
    B·b/(b + 1). Samples are visited in blocks; the best exchange of each block is made at once. A cluster's last sample
    stays.

    Source: Hartigan, *Clustering Algorithms* (1975), chapter 4; Telgarsky and Vattani 2010 on what it finds beyond
    Lloyd's algorithm.

    Args:
        x: (n, d) float64.
        labels: (R, n) int64, the partitions to begin with.
        k: number of clusters.
    """
    labels, norms = labels.clone(), x.square().sum(dim=1)  # (n,)
    least = LEAST_GAIN * norms.mean()
    sums = torch.zeros(len(labels), k, x.shape[1]).to(x)
    for own, place in zip(sums, labels, strict=True):
        own.index_add_(0, place, x)
    counts = torch.stack([torch.bincount(place, minlength=k) for place in labels]).to(x)  # (R, k)
    going = torch.arange(len(labels), device=x.device)
    for _ in range(MAX_STEPS):
        moved = torch.zeros_like(going, dtype=torch.bool)
        for start in range(0, len(x), EXCHANGE_BLOCK):
            stop = start + EXCHANGE_BLOCK
            gain, which, target = _best_exchange(
                x[start:stop], norms[start:stop], labels[going, start:stop], sums[going], counts[going]
            )
            better = gain > least
            r, sample, to = going[better], which[better] + start, target[better]
            source = labels[r, sample]
            sums[r, to] += x[sample]
            sums[r, source] -= x[sample]
            counts[r, to] += 1
            counts[r, source] -= 1
            labels[r, sample] = to
            moved |= better
        going = going[moved]
        if not len(going):
            break
    between = (sums.square().sum(dim=2) / counts.clamp(min=1)).sum(dim=1)
    return Clusters(labels, norms.sum() - between)


def _best_exchange(
    x: Tensor, norms: Tensor, labels: Tensor, sums: Tensor, counts: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns of each partition the exchange that lowers the inertia most: by how much, the sample, its new cluster.

    Args:
        x: (B, d), with their squared ``norms`` (B,).
        labels: (R, B), of these samples.
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
    """Returns the starts of k-means++, (restarts, k, d): samples drawn in proportion to their squared distance.

    Each centre is the best of 2 + ln k draws, the one that lowers the summed squared distance most, as scikit-learn's
    is (Arthur and Vassilvitskii 2007, section 5).
    """
    n, trials = len(x), 2 + int(math.log(k))
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand((k, restarts, trials), generator=generator, dtype=torch.float64).to(x.device)
    norms = x.square().sum(dim=1)  # (n,)
    each = torch.arange(restarts, device=x.device)

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
        nearest = after[each, best]
        centres.append(x[candidates[each, best]])
    return torch.stack(centres, dim=1)


def lloyd(x: Tensor, centres: Tensor) -> Clusters:
    """Returns what Lloyd's algorithm makes of each start, R of them at once, so that a matrix product does the work.

    A restart ends when no sample changes its cluster, when its centres hardly move, or after 300 steps; a centre that
    loses its last sample stays where it is.

    Args:
        x: (n, d) float64.
        centres: (R, k, d) float64.
    """
    n, device = len(x), x.device
    centres = centres.clone()
    labels = torch.full((len(centres), n), -1, device=device)
    limit = TOLERANCE * x.var(dim=0, correction=0).mean()
    norms = x.square().sum()
    going = torch.arange(len(centres), device=device)
    for _ in range(MAX_STEPS):
        found, _, moved = _step(x, centres[going])
        stays = (found == labels[going]).all(dim=1) | ((moved - centres[going]).square().sum(dim=(1, 2)) <= limit)
        labels[going], centres[going] = found, moved
        going = going[~stays]
        if not len(going):
            break
    found, cost, _ = _step(x, centres)  # the clusters of the last centres
    return Clusters(found, cost + norms)


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
        for place in nearest.indices + first:  # (block,), of each restart
            sums.index_add_(0, place, block)
    labels = torch.cat(parts, dim=1)
    counts = torch.bincount((labels + first).flatten(), minlength=len(flat))[:, None]
    means = torch.where(counts > 0, sums / counts.clamp(min=1), flat)
    return labels, cost, means.view_as(centres)
