"""SFRon: weighted ascent on weights that matter for the forget set, between steps on the retain subset."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unlearn_bench.core.options import Search
from unlearn_bench.data.batches import Batches
from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, LearningRate, MomentumOfSgd, WeightDecay
from unlearn_bench.models import Classifier
from unlearn_bench.training.loop import Loss, cross_entropy, make_optimizer, scheduled

TINY = 1e-15  # added to squares and to powers before a division, as in the authors' code


@method(
    label="SFRon",
    source="Huang et al. 2024 (Unified Gradient-Based Machine Unlearning with Remain Geometry Enhancement); its code",
    train_set="D'_r ∪ D_f",
    note=(
        "The defaults are those of the authors' code for a random tenth of CIFAR-10; it has none for classes. With its "
        "beta of 1, the slow weights of the paper are the fast ones, so that this part of the method does nothing. One "
        "optimizer makes both kinds of steps, so that momentum and weight decay of a forget step also move weights "
        "outside the mask."
    ),
)
def sfron(
    problem: UnlearningProblem,
    *,
    iterations: Annotated[int, Field(ge=1, le=1_000_000, description="steps on D'_r"), Search(50, 1500)] = 1500,
    forget_every: Annotated[int, Field(ge=1, le=10_000, description="steps on D'_r for each step on D_f")] = 5,
    batch_size: BatchSize = 128,
    lr: LearningRate = 0.01,
    momentum: MomentumOfSgd = 0.9,
    weight_decay: WeightDecay = 5e-4,
    alpha: Annotated[
        float,
        Field(gt=0, le=10_000, description="weight α of the forget loss at the start"),
        Search(0.1, 100, log=True),
    ] = 25.0,
    exponent: Annotated[float, Field(ge=0, le=10, description="λ: samples weigh loss^−λ in the forget loss")] = 0.5,
    threshold: Annotated[
        float, Field(ge=0, le=1e6, description="γ: smallest ratio of squared gradients in the mask"), Search(0.1, 10)
    ] = 1.0,
    max_norm: Annotated[float, Field(gt=0, le=1e6, description="largest norm of a forget step's gradient")] = 7.0,
    beta: Annotated[float, Field(gt=0, le=1, description="share of the new weights after each step on D'_r")] = 1.0,
) -> Classifier:
    """The original model after SGD steps on D'_r, every few of which follow a step of masked ascent on D_f.

    A forget step minimises −α_t·Σ c_i ℓ_i / Σ c_i, where ℓ_i is the cross-entropy of a sample and c_i = ℓ_i^−λ without
    gradient. Its gradient is 0 outside the mask F_f ≥ γ·F_r and then clipped. F_f and F_r are the means over batches of
    the squared gradient of a batch's mean cross-entropy, on D_f and on D'_r, for the original model in evaluation mode;
    they depend on ``batch_size``. α_t and the learning rate fall as (1 + cos(πt / T)) / 2 over T ``iterations``. After
    each step on D'_r, θ ← β·θ + (1 − β)·θ', where θ' are the weights at this point one iteration before. The method as
    published reads all of D_r; here it reads D'_r.
    """
    network = problem.copy_of_original()
    retain, forget = problem.retain_batches(batch_size), problem.forget_batches(batch_size)
    mask = saliency_mask(network.eval(), forget, retain, threshold)
    optimizer = make_optimizer("sgd", network.parameters(), lr=lr, weight_decay=weight_decay, momentum=momentum)
    rates = [lr * cosine(step, iterations) for step in range(iterations) for _ in range(1 + (step % forget_every == 0))]
    retain_stream, forget_stream = _endless(retain), _endless(forget)
    slow = [parameter.detach().clone() for parameter in network.parameters()]

    def select(*_: Any) -> None:
        for name, parameter in network.named_parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(mask[name])
        nn.utils.clip_grad_norm_(network.parameters(), max_norm)

    @torch.no_grad()
    def average(*_: Any) -> None:
        for parameter, old in zip(network.parameters(), slow, strict=True):
            parameter.copy_(old.lerp_(parameter, beta))

    problem.monitor.plan(len(rates))
    with scheduled(optimizer, [[*rates, 0.0]]):
        for step in range(0, iterations, forget_every):
            ascent = adaptive_ascent(alpha * cosine(step, iterations), exponent)
            before = optimizer.register_step_pre_hook(select)
            problem.train_epoch(network, forget_stream, optimizer, loss=ascent, curve="forget_loss", steps=1)
            before.remove()
            after = optimizer.register_step_post_hook(average)
            steps = min(forget_every, iterations - step)
            problem.train_epoch(network, retain_stream, optimizer, curve="retain_loss", steps=steps)
            after.remove()
    return network


def adaptive_ascent(alpha: float, exponent: float) -> Loss:
    """Returns the loss −α·Σ c_i ℓ_i / Σ c_i of a batch, with c_i = 1 / (ℓ_i^λ + 1e-15) without gradient."""

    def loss(network: Classifier, x: Tensor, y: Tensor) -> Tensor:
        losses = F.cross_entropy(network(x).float(), y, reduction="none")
        weights = 1 / (losses.detach() ** exponent + TINY)
        return -alpha * (weights / weights.sum() * losses).sum()

    return loss


def cosine(step: int, steps: int) -> float:
    """Returns (1 + cos(π·step / steps)) / 2, which falls from 1 to 0."""
    return (1 + math.cos(math.pi * step / steps)) / 2


def saliency_mask(network: Classifier, forget: Batches, retain: Batches, threshold: float) -> dict[str, Tensor]:
    """Returns by parameter name whether F_f + 1e-15 ≥ γ·(F_r + 1e-15), a bool tensor of the parameter's shape."""
    of_forget, of_retain = (_mean_squares(network, batches) for batches in (forget, retain))
    return {name: (of_forget[name] + TINY) / (of_retain[name] + TINY) >= threshold for name in of_forget}


def _mean_squares(network: Classifier, batches: Batches) -> dict[str, Tensor]:
    total = {name: torch.zeros_like(parameter) for name, parameter in network.named_parameters()}
    for x, y in batches:
        network.zero_grad()
        cross_entropy(network, x, y).backward()
        for name, parameter in network.named_parameters():
            if parameter.grad is not None:
                total[name] += parameter.grad.square() / len(batches)
    return total


def _endless(batches: Batches) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from batches
