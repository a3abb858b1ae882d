"""Selective dampening by plain loops, for SSD and LFSSD: float64, a sample and a weight at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from support.naive_steps import Loss, mean_gradient, naive_copy, samples_of
from unlearn_bench.data import Images
from unlearn_bench.methods import UnlearningProblem
from unlearn_bench.models import Classifier


def naive_importance(
    problem: UnlearningProblem, images: Images, batch_size: int, loss: Loss, transform: Callable[[Tensor], Tensor]
) -> list[Tensor]:
    """The mean over batches, in order of labels, of a function of the gradient of each batch's mean loss."""
    network = naive_copy(problem)
    samples = sorted(samples_of(problem, images), key=lambda sample: sample[1])
    batches = [samples[k : k + batch_size] for k in range(0, len(samples), batch_size)]
    parts = [[transform(g) for g in mean_gradient(network, batch, loss)] for batch in batches]
    return [sum(each) / len(batches) for each in zip(*parts, strict=True)]


def naive_dampened(
    problem: UnlearningProblem,
    forgotten: list[Tensor],
    others: list[Tensor],
    alpha: float,
    dampening: float,
    grows: bool = False,
) -> Classifier:
    """The original with θ · min(λF/F_f, 1) where F_f > αF; the minimum is left out if ``grows``."""
    network = naive_copy(problem)
    with torch.no_grad():
        for parameter, f, d in zip(network.parameters(), forgotten, others, strict=True):
            values = parameter.flatten().tolist()
            for k, (a, b) in enumerate(zip(f.flatten().tolist(), d.flatten().tolist(), strict=True)):
                if a > alpha * b:
                    values[k] *= dampening * b / a if grows else min(dampening * b / a, 1)
            parameter.copy_(torch.tensor(values, dtype=torch.float64).view_as(parameter))
    return network
