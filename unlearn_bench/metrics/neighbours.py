"""Nearest neighbours in feature space: whether an image lies among its own class; computed on request."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from unlearn_bench.core.errors import UnmeasurableError
from unlearn_bench.metrics import metric
from unlearn_bench.models.outputs import ModelOutputs

NEIGHBOURS = 5
BLOCK = 2**23  # similarities at a time: 64 MiB of float64
RESOLUTION = 1e9  # similarities are compared to this precision, the inverse; features are float32


@metric(
    label="k-NN(D_f)",
    bounds=(0, 100),
    better="near retrained",
    unit="%",
    source="Kim et al. 2025, Are We Truly Forgetting?, with code in yongwookim1/UUEF: k = 5, cosine; adapted",
    reads="features",
    shows="Whether forgotten samples still lie next to samples of their class, which no linear boundary is needed for. "
    "Cheats of the head (bias_cheat, calibration) leave it at the original's value.",
    hides="Memory: good features gather unseen classes too, so retrained models lie far above chance. The neighbours "
    "are training images of D_f itself.",
    without_reference="At the original's value nothing has changed; retrained models lie below it and far above "
    "chance.",
    on_request=True,
)
def knn_forget(outputs: ModelOutputs) -> float:
    """Share of D_f whose five nearest training images, by the cosine of features, mostly have its label.

    The neighbours are images of D = D_r ∪ D_f without the image itself (leave-one-out); exact copies of it stay in. In
    the public code the neighbours are the other four fifths of the set that is scored.

    The most frequent label among the five decides; of several, the smallest. Similarities are compared to 1e-9, finer
    than float32 features resolve; where they are equal, images with smaller labels are nearer. A feature vector of
    length 0 has similarity 0 to all. Of six images or fewer, all others are neighbours.

    Raises:
        UnmeasurableError: there is only one image.

    Example:
        >>> from unlearn_bench.models.outputs import Outputs
        >>> near, far = torch.tensor([[1.0, 0.1]] * 6), torch.tensor([[0.1, 1.0]] * 6)
        >>> retain = Outputs(near, torch.zeros(6, 2), torch.zeros(6, dtype=torch.int64))
        >>> forget = Outputs(far, torch.zeros(6, 2), torch.ones(6, dtype=torch.int64))
        >>> knn_forget(ModelOutputs(retain=retain, forget=forget, test_retain=retain, test_forget=forget))
        100.0
    """
    features = torch.cat([outputs.retain.features, outputs.forget.features])
    labels = torch.cat([outputs.retain.labels, outputs.forget.labels])
    asked = torch.arange(len(outputs.retain), len(labels), device=labels.device)
    return 100 * float((neighbours_label(features, labels, asked) == outputs.forget.labels).double().mean())


def neighbours_label(features: Tensor, labels: Tensor, asked: Tensor, k: int = NEIGHBOURS) -> Tensor:
    """Returns, for each image asked about, the most frequent label of its k nearest other images, (M,) int64.

    Args:
        features: (N, d) float.
        labels: (N,) int64, from 0.
        asked: (M,) int64, positions of images.
        k: number of neighbours, at most N − 1 of which are used.

    Raises:
        UnmeasurableError: N < 2.

    Example:
        >>> features = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
        >>> neighbours_label(features, torch.tensor([4, 2, 7]), torch.tensor([0, 2]), k=1)
        tensor([2, 2])
    """
    if len(labels) < 2:
        raise UnmeasurableError("k-NN needs two training images or more, and there is 1. Give more images.")
    x = features.to(torch.float64, copy=True)
    x /= x.norm(dim=1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
    classes = int(labels.max()) + 1
    votes = []
    for block in asked.split(max(1, BLOCK // len(labels))):
        nearness = (x[block] @ x.T).mul_(RESOLUTION).round_()  # whole numbers, exact in float64 with labels below
        nearness.mul_(classes).sub_(labels)  # of equally near images, those with smaller labels come first
        nearness[torch.arange(len(block)), block] = -torch.inf
        nearest = nearness.topk(min(k, len(labels) - 1), dim=1).indices
        votes.append(one_hot(labels[nearest], classes).sum(dim=1).argmax(dim=1))
    return torch.cat(votes)
