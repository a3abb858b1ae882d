"""UNSIR against plain loops: its noise, the batches of both epochs, and what it refuses."""

from dataclasses import replace

import pytest
import torch
from support.naive_methods import tiny
from support.naive_steps import NaiveAdam, Samples, disagreement, few, naive_copy, negative_log_likelihood, samples_of
from torch import Tensor

from unlearn_bench.core.errors import DataError
from unlearn_bench.methods import UnlearningProblem, methods
from unlearn_bench.methods.unsir import unsir
from unlearn_bench.models import Classifier

NOISE = {"noise_batch_size": 3, "iterations": 4, "noise_lr": 0.1, "noise_weight": 0.01}
OPTIONS = {**NOISE, "noise_batches": 5, "images_per_class": 1, "lr": 1e-3, "repair_lr": 2e-3, "batch_size": 4}


def noise_of(problem: UnlearningProblem, label: int, generator: torch.Generator, fault: str) -> list[Tensor]:
    """Three noise images after four steps of Adam, each image for itself."""
    original = naive_copy(problem)
    drawn = torch.randn(3, 1, 8, 8, generator=generator).double()
    finished = []
    for start in drawn:
        n, first, second = start[None].clone(), torch.zeros(1), torch.zeros(1)
        for step in range(1, 5):
            variable = n.clone().requires_grad_(True)
            sign = 1 if fault == "the noise is what the class looks like" else -1
            size = 0.01 * (variable**2).sum() * (64 if fault == "the norm is a sum over the batch" else 1)
            loss = (sign * negative_log_likelihood(original, variable, label) + size) / 3
            (g,) = torch.autograd.grad(loss, variable)
            first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
            n = n - 0.1 * (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
        if fault == "the noise is clamped":
            n = n.clamp(float((0 - problem.normalise.mean) / problem.normalise.std), 1.0)
        finished.append(n)
    return finished


def epoch(adam: NaiveAdam, samples: Samples, batch_size: int, generator: torch.Generator) -> None:
    order = torch.randperm(len(samples), generator=generator).tolist()
    for begin in range(0, len(order), batch_size):
        adam.step([samples[k] for k in order[begin : begin + batch_size]], negative_log_likelihood)


def naive(problem: UnlearningProblem, fault: str = "") -> Classifier:
    network, generator = naive_copy(problem), torch.Generator().manual_seed(problem.seed + 2)
    order = torch.randperm(len(problem.retain), generator=torch.Generator().manual_seed(problem.seed))
    retained: Samples = []
    for x, y in samples_of(problem, problem.retain[order]):
        if y not in [label for _, label in retained]:  # one image of each class
            retained = [*retained, (x, y)]
    label = problem.forget_classes[0]
    noise = noise_of(problem, label, generator, fault)
    copies = round(5 * 3 * len(retained) / (1 * 9))  # 9 classes, an image of each
    noisy = [(noise[k % 3], label) for k in range(copies)]
    adam = NaiveAdam(network, lr=1e-3)
    epoch(adam, [*noisy, *retained], 3, generator)
    adam = adam if fault == "one optimizer for both epochs" else NaiveAdam(network, lr=2e-3)
    epoch(adam, [*noisy, *retained] if fault == "the repair reads noise" else retained, 4, generator)
    return network


@pytest.fixture
def small(problem: UnlearningProblem) -> UnlearningProblem:
    return tiny(few(problem, 12))


@pytest.fixture
def ours(small: UnlearningProblem) -> Classifier:
    return unsir(small, **OPTIONS)


def test_it_equals_its_loops(ours: Classifier, small: UnlearningProblem) -> None:
    assert disagreement(ours, naive(small), small.original) < 1e-3


@pytest.mark.parametrize(
    "fault",
    [
        "the noise is what the class looks like",
        "the norm is a sum over the batch",
        "the noise is clamped",
        "one optimizer for both epochs",
        "the repair reads noise",
    ],
)
def test_a_fault_differs_from_it(fault: str, ours: Classifier, small: UnlearningProblem) -> None:
    assert disagreement(ours, naive(small, fault), small.original) > 1e-2


def test_it_counts_noise_and_images(problem: UnlearningProblem) -> None:
    problem = few(problem, 12)
    methods.get("unsir").unlearn(problem, OPTIONS | {"images_per_class": 100, "noise_batches": 300})
    copies, monitor = round(300 * 3 * 12 / 900), problem.monitor
    # three noise images in each of four steps, then both epochs
    assert monitor.samples_seen == 4 * 3 + (copies + 12) + 12
    assert monitor.steps == monitor.planned_steps == 4 + 8 + 3
    assert [name for _, name, _ in monitor.curves] == ["noise_loss", "impair_loss", "repair_loss"]


def test_it_needs_whole_classes(problem: UnlearningProblem) -> None:
    with pytest.raises(DataError, match="needs a forget set of whole classes"):
        unsir(replace(problem, forget_classes=()))
