"""Influence unlearning against a plain loop over the recursion."""

from dataclasses import replace

import pytest
import torch
from support.naive_methods import tiny
from support.naive_steps import (
    Samples,
    disagreement,
    few,
    mean_gradient,
    naive_copy,
    negative_log_likelihood,
    samples_of,
)
from torch import Tensor

from unlearn_bench.methods import UnlearningProblem, methods
from unlearn_bench.methods.influence import influence
from unlearn_bench.models import Classifier

OPTIONS = {"alpha": 3.0, "damping": 2.0}


def naive(problem: UnlearningProblem, fault: str = "") -> Classifier:
    network = naive_copy(problem)
    retain, forget = (samples_of(problem, images) for images in (problem.retain, problem.forget))

    def gradient(samples: Samples) -> list[Tensor]:
        return mean_gradient(network, samples, negative_log_likelihood)

    def dot(a: list[Tensor], b: list[Tensor]) -> float:
        return sum(float((x * y).sum()) for x, y in zip(a, b, strict=True))

    n_f, n_r = problem.forget_share, 1 - problem.forget_share  # the sizes of D_f and of all of D_r, as shares of D
    sums = [(n_f * f, n_r * r) for f, r in zip(gradient(forget), gradient(retain), strict=True)]
    k = [f / (n_f + n_r) - r * n_f / ((n_f + n_r) * n_r) for f, r in sums]
    order = list(reversed(retain)) if fault == "the images come in another order" else retain
    o = gradient(order[:1])
    for sample in order[1:]:
        a = gradient([sample])
        tau = dot(o, a)
        share = dot(k, a) / (2.0 + tau)
        k = [value - share * direction for value, direction in zip(k, o, strict=True)]
        if fault == "Sherman and Morrison":
            o = [s - tau / (2.0 + tau) * direction for s, direction in zip(a, o, strict=True)]
        else:
            o = [direction - tau / (2.0 + tau) * direction for direction in o]
    sign = -1 if fault == "the step is a descent" else 1
    with torch.no_grad():
        for parameter, step in zip(network.parameters(), k, strict=True):
            parameter.add_(sign * 3.0 * step)
    return network


@pytest.fixture
def small(problem: UnlearningProblem) -> UnlearningProblem:
    return tiny(few(problem))


@pytest.fixture
def ours(small: UnlearningProblem) -> Classifier:
    return influence(small, **OPTIONS, batch_size=4)


def test_it_equals_its_loop(ours: Classifier, small: UnlearningProblem) -> None:
    assert disagreement(ours, naive(small), small.original) < 1e-4


@pytest.mark.parametrize("fault", ["the images come in another order", "Sherman and Morrison", "the step is a descent"])
def test_a_fault_differs_from_it(fault: str, ours: Classifier, small: UnlearningProblem) -> None:
    assert disagreement(ours, naive(small, fault), small.original) > 1e-2


def test_the_step_depends_on_the_share_of_all_data(ours: Classifier, small: UnlearningProblem) -> None:
    """D_r is larger than D'_r, and its size enters."""
    other = influence(replace(small, forget_share=0.5), **OPTIONS)
    assert disagreement(other, ours, small.original) > 1


def test_it_reads_each_image_of_the_subset_twice(problem: UnlearningProblem) -> None:
    problem = few(problem)
    methods.get("influence").unlearn(problem, {"batch_size": 4})
    monitor = problem.monitor
    assert (monitor.samples_seen, monitor.forward_images, monitor.backward_images) == (18, 18, 18)
    assert monitor.steps == monitor.planned_steps == 2 + 2 + 6
