"""Whether clusters of the features single out the forget set."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor

from unlearn_bench.kmeans import kmeans
from unlearn_bench.metrics import metric, once_per_outputs
from unlearn_bench.outputs import ModelOutputs

RESTARTS = 50  # k-means++ starts; the partition of least inertia is kept, see benchmarks/kmeans_restarts.py
SEED = 0

Array = npt.NDArray[np.int64]


@metric(
    label="F1",
    bounds=(0, 1),
    better="near retrained",
    source="Seo, Kim and Han, appendix B",
    version=3,
    reads="features",
    about="forget",
    shows="Whether one cluster of the features is the forget set.",
    hides="Groups that k-means does not find, such as a class in two clusters.",
    alone="1 is a cluster of its own, as a class that was learned; lower means mixed with others, and "
    "how much retraining mixes is not known.",
)
def f1(outputs: ModelOutputs) -> float:
    """F1 of the cluster of D's features that best matches D_f: harmonic mean of its precision and recall."""
    cluster, member = clusters(outputs)
    return best_cluster_f1(cluster, member)


@metric(
    label="NMI",
    bounds=(0, 1),
    better="near retrained",
    source="Seo, Kim and Han, appendix B",
    version=3,
    reads="features",
    about="forget",
    shows="How much the clusters of the features tell of membership in the forget set.",
    hides="Groups that k-means does not find.",
    alone="1 is membership told in full, 0 nothing; how much retraining leaves is not known.",
)
def nmi(outputs: ModelOutputs) -> float:
    """Mutual information of cluster and membership in D_f over the smaller of their entropies.

    The paper's formula is lost in the scan; only the smaller entropy can give its 0.96 for a two-valued membership
    against ten clusters.
    """
    cluster, member = clusters(outputs)
    return membership_nmi(cluster, member)


def best_cluster_f1(cluster: Array, member: Array) -> float:
    """Returns the largest F1 over clusters, 2·|c ∩ D_f| / (|c| + |D_f|).

    Args:
        cluster: (N,) int, the cluster of each sample.
        member: (N,) 0 or 1, membership of D_f.
    """
    shared = np.bincount(cluster, weights=member)
    size = np.bincount(cluster)
    return float((2 * shared / (size + member.sum())).max())


def membership_nmi(cluster: Array, member: Array) -> float:
    """Returns the mutual information of clusters and membership over the smaller entropy; arguments as above."""
    # rounding may leave it a few 1e-16 above 1
    return min(1.0, float(normalized_mutual_info_score(member, cluster, average_method="min")))


def sorted_features(outputs: ModelOutputs) -> tuple[Tensor, Tensor]:
    """Returns the features of D, (N, d) float64, and their membership of D_f, (N,) int64, in order of the feature sum.

    The seeding draws by position, and the result must not depend on the order of images.
    """
    x = torch.cat([outputs.retain.features, outputs.forget.features]).double()
    member = torch.arange(len(x), device=x.device) >= len(outputs.retain)
    order = x.sum(dim=1).argsort(stable=True)
    return x[order], member[order].long()


@once_per_outputs
def clusters(outputs: ModelOutputs) -> tuple[Array, Array]:
    """Returns the k-means cluster of each sample of D and its membership of D_f, both (N,); k is the number of classes.

    In float64 on the device of the features: Lloyd's algorithm from fifty k-means++ starts, then Hartigan's exchanges.
    """
    x, member = sorted_features(outputs)
    return kmeans(x, outputs.classes, restarts=RESTARTS, seed=SEED).cpu().numpy(), member.cpu().numpy()
