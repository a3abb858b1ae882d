"""Boundary Shrink: forget samples are finetuned to the class that an adversarial step leads to."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from unlearn_bench.core.options import Search
from unlearn_bench.data.batches import Normalise
from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, Epochs, LearningRate, MomentumOfSgd
from unlearn_bench.models import Classifier
from unlearn_bench.training.loop import cross_entropy, make_optimizer


@method(
    label="Boundary Shrink",
    source="Chen et al. 2023 (Boundary Unlearning) and the authors' code for the defaults",
    train_set="D_f",
    makes_inputs=True,
    note=(
        "The defaults are those of the authors' code. Other implementations use learning rates of 1e-4 and 20 epochs. "
        "Where the adversarial step does not leave the class, y' is the sample's own label and the step trains the "
        "model to remember it, as in the authors' code; y' may also be another forgotten class."
    ),
)
def boundary_shrink(
    problem: UnlearningProblem,
    *,
    epochs: Epochs = 10,
    batch_size: BatchSize = 64,
    lr: LearningRate = 1e-5,
    momentum: MomentumOfSgd = 0.9,
    bound: Annotated[
        float,
        Field(gt=0, le=1, description="size of the adversarial step; 1 is the distance from black to white"),
        Search(0.01, 0.5, log=True),
    ] = 0.1,
) -> Classifier:
    """The original model after SGD on D_f with the labels y' = argmax f₀(x'), where x' is adversarial to f₀.

    f₀ is the original model, in evaluation mode and never trained. x' = x + ε·sign(∂CE(f₀(x), y) / ∂x) is a step of
    the fast gradient sign method in pixels between 0 and 1, clamped to that range and rounded to 255 levels, see
    :func:`fgsm`. The student is trained on x, not on x', in training mode, so that the statistics of a BatchNorm follow
    D_f. x' is computed anew for each batch, and counts as a drawn sample.
    """
    teacher, student = problem.original, problem.copy_of_original()

    def loss(network: Classifier, x: Tensor, y: Tensor) -> Tensor:
        adversarial = fgsm(teacher, x, y, bound, problem.normalise)
        problem.monitor.add_samples(len(x))  # each image passes the teacher twice
        with torch.no_grad():
            nearest = teacher(adversarial).argmax(dim=1)
        return cross_entropy(network, x, nearest)

    return problem.fit(
        student,
        problem.forget_batches(batch_size),
        make_optimizer("sgd", student.parameters(), lr=lr, momentum=momentum),
        epochs=epochs,
        loss=loss,
    )


def fgsm(network: Classifier, x: Tensor, y: Tensor, bound: float, normalise: Normalise) -> Tensor:
    """Returns adversarial inputs by one step of the fast gradient sign method in pixel space.

    Args:
        network: in evaluation mode; not changed.
        x: (N, C, H, W) float, normalised images.
        y: (N,) int64, labels whose cross-entropy the step raises.
        bound: ε, the change of each pixel, where pixels are between 0 and 1.
        normalise: the normalisation of ``x``.

    Returns:
        (N, C, H, W) float without gradient, normalised; its pixels are multiples of 1/255 between 0 and 1.
    """
    mean, std = normalise.mean.to(x.device), normalise.std.to(x.device)
    x = x.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(F.cross_entropy(network(x).float(), y), x)
    pixels = (x.detach() * std + mean + bound * gradient.sign()).clamp(0, 1)  # dividing by std changes no sign
    return ((pixels * 255).round() / 255 - mean) / std
