"""JiT and SFRon, wrong in ways in which public code is: each must differ from its reference in ``naive_methods``."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unlearn_bench.methods import UnlearningProblem
from unlearn_bench.methods.sfron import adaptive_ascent, cosine, saliency_mask
from unlearn_bench.models import Classifier
from unlearn_bench.training.loop import make_optimizer

DIFFERS_FROM = {
    "jit_takes_the_mean_of_the_batch": "jit",
    "jit_follows_the_noisy_copy": "jit",
    "jit_leaves_the_range_of_the_batch": "jit",
    "sfron_inverts_its_mask": "sfron",
    "sfron_clips_before_its_mask": "sfron",
    "sfron_has_an_optimizer_for_each_loss": "sfron",
    "sfron_weighs_all_samples_alike": "sfron",
}


def smoothed(
    problem: UnlearningProblem,
    *,
    epochs: int,
    lr: float,
    sigma: float,
    copies: int,
    share: float = 1.0,
    follows: bool = False,
    clamps: bool = True,
) -> Classifier:
    network, generator = problem.copy_of_original(), torch.Generator().manual_seed(problem.seed)

    def loss(network: Classifier, x: Tensor, _y: Tensor) -> Tensor:
        total, z = torch.zeros(()), network(x)
        for _ in range(copies):
            noisy = x + sigma * torch.randn(x.shape, generator=generator)
            noisy = noisy.clamp(x.min(), x.max()) if clamps else noisy
            other = network(noisy) if follows else network(noisy).detach()
            total = total + ((z - other).norm(dim=1) / (x - noisy).flatten(1).norm(dim=1)).sum()
        return share * total / copies

    optimizer = make_optimizer("sgd", network.parameters(), lr=lr)
    return problem.fit(network, problem.forget_batches(24), optimizer, epochs=epochs, loss=loss)


def jit_takes_the_mean_of_the_batch(problem: UnlearningProblem, **options: float) -> Classifier:
    """As in the paper, and with the code's learning rate: steps are smaller by the batch size."""
    return smoothed(problem, **options, share=1 / 24)


def jit_follows_the_noisy_copy(problem: UnlearningProblem, **options: float) -> Classifier:
    """Gradients flow through both outputs."""
    return smoothed(problem, **options, follows=True)


def jit_leaves_the_range_of_the_batch(problem: UnlearningProblem, **options: float) -> Classifier:
    """The noise is not clamped."""
    return smoothed(problem, **options, clamps=False)


def balanced(
    problem: UnlearningProblem,
    *,
    iterations: int,
    forget_every: int,
    lr: float,
    alpha: float,
    exponent: float,
    threshold: float,
    max_norm: float,
    beta: float,
    inverts: bool = False,
    clips_first: bool = False,
    separate: bool = False,
    **decay: float,
) -> Classifier:
    network = problem.copy_of_original()
    forget, retain = problem.forget_batches(24), problem.retain_batches(24)
    mask = saliency_mask(network.eval(), *((retain, forget) if inverts else (forget, retain)), threshold)
    down = make_optimizer("sgd", network.parameters(), lr=lr, **decay)
    up = make_optimizer("sgd", network.parameters(), lr=lr, **decay) if separate else down

    def select(*_: object) -> None:
        if clips_first:
            nn.utils.clip_grad_norm_(network.parameters(), max_norm)
        for name, parameter in network.named_parameters():
            parameter.grad.mul_(mask[name])
        nn.utils.clip_grad_norm_(network.parameters(), max_norm)

    for step in range(iterations):
        falling = cosine(step, iterations)
        before = [parameter.detach().clone() for parameter in network.parameters()]
        up.param_groups[0]["lr"] = down.param_groups[0]["lr"] = lr * falling
        if step % forget_every == 0:
            handle = up.register_step_pre_hook(select)
            problem.train_epoch(network, forget, up, loss=adaptive_ascent(alpha * falling, exponent))
            handle.remove()
        problem.train_epoch(network, retain, down)
        for parameter, old in zip(network.parameters(), before, strict=True):
            parameter.data = beta * parameter.data + (1 - beta) * old
    return network


def sfron_inverts_its_mask(problem: UnlearningProblem, **options: float) -> Classifier:
    """The forget step moves the weights that matter for D'_r."""
    return balanced(problem, **options, inverts=True)


def sfron_clips_before_its_mask(problem: UnlearningProblem, **options: float) -> Classifier:
    """The norm is that of the whole gradient, so that the step is smaller."""
    return balanced(problem, **options, clips_first=True)


def sfron_has_an_optimizer_for_each_loss(problem: UnlearningProblem, **options: float) -> Classifier:
    """Momentum does not pass from a forget step to the next step."""
    return balanced(problem, **options, separate=True)


def sfron_weighs_all_samples_alike(problem: UnlearningProblem, **options: float) -> Classifier:
    """The weights of the samples are lost: plain ascent."""
    return balanced(problem, **options | {"exponent": 0.0})
