"""Fisher forgetting: noise where the retain subset has little to say about a weight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.func import functional_call, jacrev, vmap

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
        "'empirical' takes the gradient at the label, 'monte_carlo' at one class drawn from the model's output."
    ),
)
def fisher(
    problem: UnlearningProblem,
    *,
    alpha: Annotated[
        float, Field(ge=0, le=1, description="factor of the noise's variance"), Search(1e-9, 1e-5, log=True)
    ] = 3e-6,
    variant: Annotated[Variant, Field(description="of the Fisher information, see below")] = "expected",
    batch_size: Annotated[BatchSize, Inert()] = 8,
) -> Classifier:
    """The original model with Gaussian noise of variance α / (F + ε) added to its weights.

    F is the diagonal of the Fisher information of D'_r: E_x Σ_y p(y|x) (∂ log p(y|x) / ∂θ)², the square of each
    sample's gradient for each class, never of a mean over samples. Neither it nor the result depends on ``batch_size``,
    which bounds memory: K gradients of every sample in a batch are held at once.
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
        network: in evaluation mode; not changed.
        problem: its retain images, as they are, without augmentation.
        variant: ``expected``: Σ_y p(y|x) g_y²; ``empirical``: g_y² at the label; ``monte_carlo``: at one class drawn
            from p(·|x), with ``generator``.
        batch_size: samples whose gradients are held at once.
    """
    parameters = {name: value.detach() for name, value in network.named_parameters()}

    def weighted_log_p(parameters: Parameters, x: Tensor, weight: Tensor) -> Tensor:
        logits: Tensor = functional_call(network, parameters, (x[None],))[0]
        return weight.sqrt() * logits.log_softmax(dim=0)  # (K,): the squares of its gradients sum to Σ_y w_y g_y²

    gradients: Callable[..., Parameters] = vmap(jacrev(weighted_log_p), in_dims=(None, 0, 0))
    total = {name: torch.zeros_like(value) for name, value in parameters.items()}
    retain = problem.retain
    batches = list(zip(retain.pixels.split(batch_size), retain.labels.split(batch_size), strict=True))
    problem.journal.plan(len(batches))
    for pixels, labels in batches:
        x = problem.normalise(pixels)
        with torch.no_grad():
            p = network(x).softmax(dim=1)  # (B, K)
        weights = p if variant == "expected" else torch.zeros_like(p)
        if variant != "expected":
            drawn = torch.multinomial(p.cpu(), 1, generator=generator)[:, 0].to(p.device)
            weights[torch.arange(len(p)), labels if variant == "empirical" else drawn] = 1.0
        for name, gradient in gradients(parameters, x, weights).items():  # (B, K, *shape)
            total[name] += gradient.square().sum(dim=(0, 1)) / len(retain)
        problem.journal.drew(len(x))
        problem.journal.passed(forward=len(x), backward=p.numel())  # a gradient for each class
        problem.journal.step()
    return total
