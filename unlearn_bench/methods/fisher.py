"""Fisher forgetting: noise on weights about which the retain subset has little information."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from unlearn_bench.core.options import Inert, Search
from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize
from unlearn_bench.models import Classifier
from unlearn_bench.training.curvature import squared_gradients

Variant = Literal["expected", "empirical", "monte_carlo"]
Parameters = dict[str, Tensor]

EPSILON = 1e-8  # added to F before it is inverted
LARGEST = 1e3  # of 1 / (F + ε)
LARGEST_HEAD = 1e2  # of 1 / (F + ε) in the head
HEAD_AND_VECTORS = 10.0  # factor of the variance in the head, in biases and in normalisations
FORGOTTEN_VARIANCE = 1e-3  # of the forgotten classes' rows in the head, whose mean is 0


@method(
    label="Fisher",
    source="Golatkar, Achille and Soatto 2020, section 5, and the authors' code for details not in the paper",
    train_set="D'_r",
    note=(
        "As in the authors' code, 1 / (F + 1e-8) is at most 1e3, and at most 1e2 in the head. It is averaged over a "
        "weight's second axis (inputs of a linear layer, input channels of a convolution), so that all weights of one "
        "output share it. The variance is ten times larger in the head, in biases and in normalisations. Rows of "
        "the head that belong to forgotten classes are drawn from N(0, 1e-3) for every alpha. The variant "
        "'empirical' takes the gradient at the label, 'monte_carlo' at one class drawn from the model's output. If "
        "the original model fits its training data perfectly, F is so small that 1 / (F + 1e-8) is at its "
        "bound nearly everywhere (99.9996 % of the weights on digits, forget set 1, seed 0). The noise is then the "
        "same for all weights, and the result does not depend on F."
    ),
)
def fisher(
    problem: UnlearningProblem,
    *,
    alpha: Annotated[
        float, Field(ge=0, le=1, description="factor of the noise's variance"), Search(1e-9, 1e-5, log=True)
    ] = 3e-6,
    variant: Annotated[Variant, Field(description="estimate of the Fisher information, see the note")] = "expected",
    batch_size: Annotated[BatchSize, Inert()] = 64,
) -> Classifier:
    """The original model with Gaussian noise of variance α / (F + ε) added to its weights.

    F is the diagonal of the Fisher information of D'_r: E_x Σ_y p(y|x) (∂ log p(y|x) / ∂θ)². It squares the gradient
    of each sample and class, not a mean over samples. ``batch_size`` limits memory and affects the result only by
    rounding.
    """
    network = problem.copy_of_original().eval()
    generator = torch.Generator().manual_seed(problem.seed)
    information = fisher_diagonal(network, problem, variant, batch_size, generator)
    problem.monitor.record("fisher_trace", float(sum(part.sum() for part in information.values())))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            is_head = name.startswith("head.")
            variance = alpha * spread(information[name], is_head=is_head)
            noise = torch.randn(parameter.shape, generator=generator).to(parameter.device)
            if is_head:
                rows = list(problem.forget_classes)
                parameter[rows], variance[rows] = 0.0, FORGOTTEN_VARIANCE
            parameter.add_(variance.sqrt().to(parameter.dtype) * noise)
    return network


def spread(information: Tensor, *, is_head: bool) -> Tensor:
    """Returns the variance of the noise for α = 1.

    Args:
        information: a parameter's part of F, of its shape.
        is_head: whether the parameter belongs to the head.

    Returns:
        A tensor of the shape of ``information``.

    Example:
        >>> spread(torch.tensor([[1.0, 1.0], [0.0, 0.0]]), is_head=False)
        tensor([[   1.,    1.],
                [1000., 1000.]])
    """
    variance = (1 / (information + EPSILON)).clamp(max=LARGEST_HEAD if is_head else LARGEST)
    if variance.dim() > 1:
        variance = variance.mean(dim=1, keepdim=True).expand_as(variance).clone()
    return variance * (HEAD_AND_VECTORS if is_head or variance.dim() == 1 else 1.0)


def fisher_diagonal(
    network: Classifier, problem: UnlearningProblem, variant: Variant, batch_size: int, generator: torch.Generator
) -> Parameters:
    """Returns the diagonal of the Fisher information of D'_r by parameter name, a tensor of each parameter's shape.

    Args:
        network: in evaluation mode, every parameter trainable; not changed.
        problem: the retain images are taken from it, without augmentation.
        variant: ``expected``: Σ_y p(y|x) g_y²; ``empirical``: g_y² at the label; ``monte_carlo``: g_y² at one class
            drawn from p(·|x) with ``generator``.
        batch_size: samples processed at once.
        generator: on the CPU.
    """
    total = {name: torch.zeros_like(value) for name, value in network.named_parameters()}
    retain = problem.retain
    batches = list(zip(retain.pixels.split(batch_size), retain.labels.split(batch_size), strict=True))
    problem.monitor.plan(len(batches))
    for pixels, labels in batches:

        def weigh(p: Tensor, labels: Tensor = labels) -> Tensor:
            if variant == "expected":
                return p
            drawn = labels if variant == "empirical" else _draw(p, generator)
            return F.one_hot(drawn, p.shape[1]).to(p)

        for name, square in squared_gradients(network, problem.normalise(pixels), weigh).items():
            total[name] += square / len(retain)
        problem.monitor.add_samples(len(pixels))
        problem.monitor.step()
    return total


def _draw(p: Tensor, generator: torch.Generator) -> Tensor:
    return torch.multinomial(p.cpu(), 1, generator=generator)[:, 0].to(p.device)
