"""Optimizers, losses and distances for naive implementations of methods: float64, a sample at a time, written out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from unlearn_bench.data import Images
from unlearn_bench.methods import UnlearningProblem
from unlearn_bench.models import Classifier

Samples = Sequence[tuple[Tensor, int]]  # each an input (1, C, H, W) float64, and a label
Loss = Callable[[nn.Module, Tensor, int], Tensor]  # of one sample


def naive_copy(problem: UnlearningProblem) -> Classifier:
    return copy.deepcopy(problem.original).double().requires_grad_(True)


def few(problem: UnlearningProblem, images: int = 6) -> UnlearningProblem:
    """The problem with fewer images, so that loops over samples take a moment."""
    from dataclasses import replace

    index = torch.arange(images)
    return replace(problem, forget=problem.forget[index], retain=problem.retain[index])


def samples_of(problem: UnlearningProblem, images: Images, labels: Iterable[int] | None = None) -> Samples:
    labels = images.labels.tolist() if labels is None else list(labels)
    return [(problem.normalise(x[None]).double(), y) for x, y in zip(images.pixels, labels, strict=True)]


def negative_log_likelihood(network: nn.Module, x: Tensor, label: int) -> Tensor:
    z = network(x)[0]
    return torch.log(torch.exp(z).sum()) - z[label]


def probabilities(z: Tensor, temperature: float = 1.0) -> list[Tensor]:
    powers = [torch.exp(part / temperature) for part in z]
    return [power / sum(powers) for power in powers]


def divergence(target: Sequence[Tensor], output: Sequence[Tensor]) -> Tensor:
    """KL(target ‖ output) of one sample; a probability of 0 in the target contributes nothing."""
    pairs = zip(target, output, strict=True)
    return torch.stack([t * (torch.log(t) - torch.log(p)) for t, p in pairs if float(t) > 0]).sum()


def mean_gradient(network: nn.Module, samples: Samples, loss: Loss) -> list[Tensor]:
    """The mean over samples of the gradient of each parameter."""
    parameters = list(network.parameters())
    total = [torch.zeros_like(parameter) for parameter in parameters]
    for x, label in samples:
        for part, gradient in zip(total, torch.autograd.grad(loss(network, x, label), parameters), strict=True):
            part.add_(gradient / len(samples))
    return total


class NaiveSgd:
    """v ← m·v + g + w·θ, θ ← θ − lr·v. With a mask, θ and v stay where it is 0: θ at its first value, v at 0."""

    def __init__(
        self,
        network: nn.Module,
        *,
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        mask: Sequence[Tensor] | None = None,
    ) -> None:
        self.network, self.lr, self.momentum, self.weight_decay = network, lr, momentum, weight_decay
        self.mask = mask or [torch.ones_like(parameter) for parameter in network.parameters()]
        self.velocity = [torch.zeros_like(parameter) for parameter in network.parameters()]

    def step(self, samples: Samples, loss: Loss) -> None:
        gradients = mean_gradient(self.network, samples, loss)
        with torch.no_grad():
            for theta, v, g, m in zip(self.network.parameters(), self.velocity, gradients, self.mask, strict=True):
                v.copy_(m * (self.momentum * v + g + self.weight_decay * theta))
                theta.sub_(self.lr * v)


class NaiveAdam:
    """Kingma and Ba's Adam with β = (0.9, 0.999) and ε = 1e-8."""

    def __init__(self, network: nn.Module, *, lr: float) -> None:
        self.network, self.lr, self.steps = network, lr, 0
        self.first = [torch.zeros_like(parameter) for parameter in network.parameters()]
        self.second = [torch.zeros_like(parameter) for parameter in network.parameters()]

    def step(self, samples: Samples, loss: Loss) -> None:
        self.steps += 1
        gradients = mean_gradient(self.network, samples, loss)
        with torch.no_grad():
            for theta, m, v, g in zip(self.network.parameters(), self.first, self.second, gradients, strict=True):
                m.copy_(0.9 * m + 0.1 * g)
                v.copy_(0.999 * v + 0.001 * g**2)
                corrected, scale = m / (1 - 0.9**self.steps), v / (1 - 0.999**self.steps)
                theta.sub_(self.lr * corrected / (scale.sqrt() + 1e-8))


def disagreement(ours: nn.Module, theirs: nn.Module, start: nn.Module) -> float:
    """The distance of two results relative to how far the second is from the start: 0 if equal, about 1 if unrelated.

    Single weights may differ where a threshold or the sign of a tiny gradient depends on rounding; this does not.
    """
    a, b, zero = (torch.cat([p.detach().double().flatten() for p in n.parameters()]) for n in (ours, theirs, start))
    return float((a - b).norm() / (b - zero).norm())
