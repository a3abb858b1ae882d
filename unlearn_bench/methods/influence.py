"""Influence unlearning: one step along the gradient of the forget set, changed by the WoodFisher recursion."""

from __future__ import annotations

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from unlearn_bench.core.options import Inert, Search
from unlearn_bench.data import Images
from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize
from unlearn_bench.models import Classifier
from unlearn_bench.training.importance import by_class, mean_gradients

UPDATES = 1001  # most updates of the recursion; the code stops after the image of index 1001, and index 0 starts it


@method(
    label="Influence (WoodFisher)",
    source="Izzo et al. 2021; Jia et al. 2023, and their code (OPTML-Group/Unlearn-Sparse, Wfisher.py)",
    train_set="D'_r ∪ D_f",
    is_random=False,
    note=(
        "The default of alpha is that of the code; public scripts have 1 to 100. The recursion is that of the code, "
        "which is not the Sherman-Morrison inverse of the Fisher information that it is named after: o stays a "
        "multiple of the first image's gradient, so that k is v plus a multiple of that gradient."
    ),
)
def influence(
    problem: UnlearningProblem,
    *,
    alpha: Annotated[float, Field(ge=0, le=1e6, description="factor α of the step"), Search(0.1, 1000, log=True)] = 0.2,
    damping: Annotated[
        float, Field(gt=0, le=1e9, description="N in the denominators of the recursion"), Search(1, 10_000, log=True)
    ] = 1000.0,
    batch_size: Annotated[BatchSize, Inert()] = 64,
) -> Classifier:
    """The original model with the weights θ + α·k; no training.

    k starts as v = s·(g_f − g_r), where g_f and g_r are the mean gradients of the cross-entropy of D_f and of D'_r, and
    s is the share of D_f in D. o starts as the gradient of the first image of D'_r. For each further image, with
    gradient a, and τ = o·a: k ← k − (k·a) / (N + τ)·o, then o ← o − τ / (N + τ)·o, up to 1001 images. They are taken in
    the order of D'_r, without augmentation, in evaluation mode.

    Adapted: the published method reads D_r, in the order of its loader, where its images are augmented; here it gets
    D'_r. ``batch_size`` limits memory and affects the result only by rounding.

    Raises:
        DivergedError: a gradient, or k, is not finite.
    """
    network = problem.copy_of_original().eval()
    retain = problem.retain
    updates = min(len(retain) - 1, UPDATES)
    steps = [math.ceil(len(images) / batch_size) for images in (problem.forget, retain)]
    problem.monitor.plan(sum(steps) + 1 + updates)
    of_forget = _mean_gradient(problem, network, problem.forget, batch_size, "forget_gradient")
    of_retain = _mean_gradient(problem, network, retain, batch_size, "retain_gradient")
    k = problem.forget_share * (of_forget - of_retain)
    o = _sample_gradient(problem, network, 0)
    for index in range(1, 1 + updates):
        a = _sample_gradient(problem, network, index)
        tau = o @ a
        k = k - (k @ a) / (damping + tau) * o
        o = o - tau / (damping + tau) * o
    problem.monitor.record("step", alpha * float(k.norm()))
    with torch.no_grad():
        parameters = list(network.parameters())
        for parameter, part in zip(parameters, k.split([p.numel() for p in parameters]), strict=True):
            parameter.add_(alpha * part.view_as(parameter))
    return network


def _mean_gradient(
    problem: UnlearningProblem, network: Classifier, images: Images, batch_size: int, curve: str
) -> Tensor:
    """Returns the gradient of the mean cross-entropy of the images, (number of weights,)."""
    number = math.ceil(len(images) / batch_size)

    def loss(network: Classifier, x: Tensor, y: Tensor) -> Tensor:  # its mean over batches is the mean over images
        return F.cross_entropy(network(x).float(), y, reduction="sum") * number / len(images)

    batches = by_class(images, batch_size, problem.normalise, problem.monitor)
    parts = mean_gradients(network, batches, loss, problem.monitor, curve=curve)
    return torch.cat([part.flatten() for part in parts.values()])


def _sample_gradient(problem: UnlearningProblem, network: Classifier, index: int) -> Tensor:
    """Returns the gradient of the cross-entropy of one image of D'_r, (number of weights,)."""
    x, y = problem.normalise(problem.retain.pixels[index : index + 1]), problem.retain.labels[index : index + 1]
    problem.monitor.add_samples(1)
    parameters = list(network.parameters())
    gradients = torch.autograd.grad(F.cross_entropy(network(x).float(), y), parameters, materialize_grads=True)
    problem.monitor.step()
    return torch.cat([gradient.flatten() for gradient in gradients])
