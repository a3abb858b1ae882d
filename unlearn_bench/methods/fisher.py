"""Fisher forgetting: noise where the retain subset has little to say about a weight."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from unlearn_bench.curvature import squared_gradients
from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize
from unlearn_bench.models import Classifier
from unlearn_bench.options import Inert, Search

Variant = Literal["expected", "empirical", "monte_carlo"]
Parameters = dict[str, Tensor]

EPSILON = 1e-8  # added to F before it is inverted
LARGEST = 1e3  # of 1 / (F + ε)
LARGEST_HEAD = 1e2  # likewise, in the head
HEAD_AND_VECTORS = 10.0  # factor of the variance in the head, in biases and in normalisations
FORGOTTEN_VARIANCE = 1e-3  # of the forgotten classes' rows in the head, whose mean is 0


@method(
    label="Fisher",
    source="Golatkar, Achille and Soatto 2020, section 5, and the authors' code for what the paper leaves open",
    train_set="D'_r",
    note=(
        "As the authors' code has it: 1 / (F + 1e-8) is at most 1e3, in the head at most 1e2; it is averaged over a "
        "weight's second axis (inputs of a linear layer, input channels of a convolution), so that weights that feed "
        "one output share it; the variance is ten times larger in the head, in biases and in normalisations. Rows of "
        "the head that belong to forgotten classes are drawn from N(0, 1e-3) whatever alpha is. The variant "
        "'empirical' takes the gradient at the label, 'monte_carlo' at one class drawn from the model's output. Where "
        "the original model fits its training data to the last digit, F is so small that 1 / (F + 1e-8) is at its "
        "bound nearly everywhere (99.9996 % of the weights on digits, forget set 1, seed 0): the noise is then the "
        "same for all weights, and the result says nothing of F."
    ),
)
def fisher(
    problem: UnlearningProblem,
    *,
    alpha: Annotated[
        float, Field(ge=0, le=1, description="factor of the noise's variance"), Search(1e-9, 1e-5, log=True)
    ] = 3e-6,
    variant: Annotated[Variant, Field(description="of the Fisher information, see below")] = "expected",
    batch_size: Annotated[BatchSize, Inert()] = 64,
) -> Classifier:
    """The original model with Gaussian noise of variance α / (F + ε) added to its weights.

    F is the diagonal of the Fisher information of D'_r: E_x Σ_y p(y|x) (∂ log p(y|x) / ∂θ)², the square of each
    sample's gradient for each class, never of a mean over samples. Neither it nor the result depends on ``batch_size``
    beyond rounding; it bounds memory.
    """
    network = problem.copy_of_original().eval()
    generator = torch.Generator().manual_seed(problem.seed)
    information = fisher_diagonal(network, problem, variant, batch_size, generator)
    problem.journal.record("fisher_trace", float(sum(part.sum() for part in information.values())))
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
    """Returns the noise's variance for α = 1, of the shape of ``information``, a parameter's part of F."""
    variance = (1 / (information + EPSILON)).clamp(max=LARGEST_HEAD if is_head else LARGEST)
    if variance.dim() > 1:
        variance = variance.mean(dim=1, keepdim=True).expand_as(variance).clone()
    return variance * (HEAD_AND_VECTORS if is_head or variance.dim() == 1 else 1.0)


def fisher_diagonal(
    network: Classifier, problem: UnlearningProblem, variant: Variant, batch_size: int, generator: torch.Generator
) -> Parameters:
    """Returns the diagonal of the Fisher information of D'_r, a tensor of each parameter's shape by its name.

    Args:
        network: in evaluation mode, every parameter trainable; not changed.
        problem: its retain images, as they are, without augmentation.
        variant: ``expected``: Σ_y p(y|x) g_y²; ``empirical``: g_y² at the label; ``monte_carlo``: at one class drawn
            from p(·|x), with ``generator``.
        batch_size: samples that are taken at once.
    """
    total = {name: torch.zeros_like(value) for name, value in network.named_parameters()}
    retain = problem.retain
    batches = list(zip(retain.pixels.split(batch_size), retain.labels.split(batch_size), strict=True))
    problem.journal.plan(len(batches))
    for pixels, labels in batches:

        def weigh(p: Tensor, labels: Tensor = labels) -> Tensor:
            if variant == "expected":
                return p
            drawn = labels if variant == "empirical" else _draw(p, generator)
            return F.one_hot(drawn, p.shape[1]).to(p)

        for name, square in squared_gradients(network, problem.normalise(pixels), weigh).items():
            total[name] += square / len(retain)
        problem.journal.drew(len(pixels))
        problem.journal.step()
    return total


def _draw(p: Tensor, generator: torch.Generator) -> Tensor:
    return torch.multinomial(p.cpu(), 1, generator=generator)[:, 0].to(p.device)
