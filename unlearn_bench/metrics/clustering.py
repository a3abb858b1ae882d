"""Whether clusters of the features separate the forget set from the rest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor

from unlearn_bench.core.errors import UnmeasurableError
from unlearn_bench.metrics import metric, once_per_outputs
from unlearn_bench.models.outputs import ModelOutputs
from unlearn_bench.numerics.kmeans import kmeans

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
    shows="Whether one cluster of the features equals the forget set.",
    hides="Groups that k-means does not find, such as a class that is split into two clusters.",
    without_reference="At 1 the forget set is a cluster of its own, like a class that was learned; a lower value means "
    "that it mixes with other samples. How much it mixes in a retrained model is unknown.",
)
def f1(outputs: ModelOutputs) -> float:
    """F1 of the cluster of D's features that best matches D_f: harmonic mean of its precision and recall.

    Example:
        >>> from unlearn_bench.models.outputs import Outputs
        >>> features, labels = torch.tensor([[0.0], [0.1], [5.0], [5.1]]), torch.tensor([0, 0])
        >>> retain, forget = (Outputs(part, torch.zeros(2, 2), labels) for part in features.split(2))
        >>> f1(ModelOutputs(retain=retain, forget=forget, test_retain=retain, test_forget=forget))
        1.0
    """
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
    shows="How well the clusters of the features predict membership in the forget set.",
    hides="Groups that k-means does not find.",
    without_reference="At 1 the clusters determine membership, at 0 they carry no information about it; the value of a "
    "retrained model is unknown.",
)
def nmi(outputs: ModelOutputs) -> float:
    """Mutual information of cluster and membership in D_f, divided by the smaller of their entropies.

    The paper's formula is illegible in the scan. Only the smaller entropy can give the paper's value of 0.96 for a
    two-valued membership against ten clusters.

    Example:
        >>> from unlearn_bench.models.outputs import Outputs
        >>> features, labels = torch.tensor([[0.0], [0.1], [5.0], [5.1]]), torch.tensor([0, 0])
        >>> retain, forget = (Outputs(part, torch.zeros(2, 2), labels) for part in features.split(2))
        >>> round(nmi(ModelOutputs(retain=retain, forget=forget, test_retain=retain, test_forget=forget)), 6)
        1.0
    """
    cluster, member = clusters(outputs)
    return membership_nmi(cluster, member)


def best_cluster_f1(cluster: Array, member: Array) -> float:
    """Returns the largest F1 over clusters, 2·|c ∩ D_f| / (|c| + |D_f|).

    Args:
        cluster: (N,) int, the cluster of each sample.
        member: (N,) 0 or 1, membership in D_f.

    Example:
        >>> best_cluster_f1(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]))
        0.6666666666666666
    """
    shared = np.bincount(cluster, weights=member)
    size = np.bincount(cluster)
    return float((2 * shared / (size + member.sum())).max())


def membership_nmi(cluster: Array, member: Array) -> float:
    """Returns the mutual information of clusters and membership, divided by the smaller entropy.

    Args:
        cluster: (N,) int, the cluster of each sample.
        member: (N,) 0 or 1, membership in D_f.

    Example:
        >>> round(membership_nmi(np.array([0, 0, 1, 2]), np.array([0, 0, 1, 1])), 6)
        1.0
    """
    # rounding may make it a few 1e-16 larger than 1
    return min(1.0, float(normalized_mutual_info_score(member, cluster, average_method="min")))


def sorted_features(outputs: ModelOutputs) -> tuple[Tensor, Tensor]:
    """Returns the features of D, (N, d) float64, and their membership in D_f, (N,) int64, in order of the feature sum.

    k-means++ draws samples by position. Sorting makes the result independent of the order of images.

    Example:
        >>> from unlearn_bench.models.outputs import Outputs
        >>> retain = Outputs(torch.tensor([[2.0]]), torch.zeros(1, 2), torch.tensor([0]))
        >>> forget = Outputs(torch.tensor([[1.0]]), torch.zeros(1, 2), torch.tensor([0]))
        >>> features, member = sorted_features(ModelOutputs(retain, forget, retain, forget))
        >>> features.tolist(), member.tolist()
        ([[1.0], [2.0]], [1, 0])
    """
    x = torch.cat([outputs.retain.features, outputs.forget.features]).double()
    member = torch.arange(len(x), device=x.device) >= len(outputs.retain)
    order = x.sum(dim=1).argsort(stable=True)
    return x[order], member[order].long()


@once_per_outputs
def clusters(outputs: ModelOutputs) -> tuple[Array, Array]:
    """Returns the k-means cluster of each sample of D and its membership in D_f, both (N,); k is the number of classes.

    k-means runs in float64 on the device of the features: Lloyd's algorithm from fifty k-means++ starts, then
    Hartigan's exchanges.

    Raises:
        UnmeasurableError: there are fewer images than classes.
    """
    x, member = sorted_features(outputs)
    if len(x) < outputs.classes:
        raise UnmeasurableError(
            f"F1 and NMI need {outputs.classes:,} images or more, one for each class of the network, and there are "
            f"{len(x):,}. Give a network with the classes of the images, or more images."
        )
    return kmeans(x, outputs.classes, restarts=RESTARTS, seed=SEED).cpu().numpy(), member.cpu().numpy()
