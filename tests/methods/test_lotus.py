"""LoTUS against plain loops: its targets, its temperature, and when it ends."""

import math
from dataclasses import replace

import pytest
import torch
from support.naive_methods import tiny
from support.naive_steps import few, naive_copy, samples_of
from torch import Tensor, nn

from unlearn_bench.core.errors import OptionError
from unlearn_bench.methods import UnlearningProblem, methods
from unlearn_bench.methods.lotus import lotus, noisy_targets
from unlearn_bench.models import Classifier

OPTIONS = {"epochs": 3, "lr": 1e-3, "weight_decay": 0.1, "alpha": 3.0}


class NaiveAdamW:
    """Loshchilov and Hutter's AdamW: the decay is lr·w·θ, beside Adam's step."""

    def __init__(self, network: nn.Module, coupled: bool) -> None:
        self.parameters, self.steps, self.coupled = list(network.parameters()), 0, coupled
        self.moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.parameters]

    def step(self, loss: Tensor) -> None:
        self.steps += 1
        gradients = torch.autograd.grad(loss, self.parameters)
        with torch.no_grad():
            for theta, (m, v), g in zip(self.parameters, self.moments, gradients, strict=True):
                slope = g + 0.1 * theta if self.coupled else g
                theta.mul_(1.0 if self.coupled else 1 - 1e-3 * 0.1)
                m.copy_(0.9 * m + 0.1 * slope)
                v.copy_(0.999 * v + 0.001 * slope**2)
                theta.sub_(1e-3 * (m / (1 - 0.9**self.steps)) / ((v / (1 - 0.999**self.steps)).sqrt() + 1e-8))


def naive(problem: UnlearningProblem, fault: str = "") -> Classifier:
    """Three epochs of one batch of all images."""
    network, original = naive_copy(problem), naive_copy(problem)
    forget, retain = (samples_of(problem, images) for images in (problem.forget, problem.retain))
    samples = [(x, True) for x, _ in forget] + [(x, False) for x, _ in retain]
    orders, noises = (torch.Generator().manual_seed(problem.seed + offset) for offset in (0, 2))
    optimizer = NaiveAdamW(network, fault == "decay as in Adam")
    for _ in range(3):
        right = sum(int(network(x)[0].argmax()) == label for x, label in forget)
        accuracy = right / len(forget)
        accuracy = accuracy if fault == "the accuracy is not rounded" else math.floor(100 * accuracy + 0.5) / 100
        tau = 1.0 if fault == "the temperature stays" else math.exp(3.0 * accuracy)
        order = torch.randperm(len(samples), generator=orders).tolist()
        exponential = torch.empty(len(samples), 10).exponential_(generator=noises).double()
        total = torch.zeros((), dtype=torch.float64)
        for row, k in zip(exponential, order, strict=True):
            x, is_forget = samples[k]
            z = original(x)[0].detach()
            noisy = z - torch.log(row)
            if is_forget:
                powers = torch.exp(noisy / tau)
                target = powers / powers.sum()
            else:
                target = torch.zeros(10).double()
                target[(z if fault == "the target of D'_r is the answer" else noisy).argmax()] = 1.0
            output = network(x)[0]
            total = total - (target * (output - torch.log(torch.exp(output).sum()))).sum() / len(samples)
        optimizer.step(total)
    return network


def distance(ours: nn.Module, theirs: nn.Module, start: nn.Module) -> float:
    a, b, zero = (torch.cat([p.detach().double().flatten() for p in n.parameters()]) for n in (ours, theirs, start))
    return float((a - b).norm() / (b - zero).norm())


@pytest.fixture
def small(problem: UnlearningProblem) -> UnlearningProblem:
    """Seven images of D_f, some of which the original answers right, so that the accuracy has more than two digits."""
    problem = tiny(few(problem, 7))
    with torch.no_grad():
        answers = problem.original(problem.normalise(problem.forget.pixels)).argmax(dim=1)
    labels = torch.where(torch.arange(7) < 3, answers, (answers + 1) % 10)
    return replace(problem, forget=replace(problem.forget, labels=labels))


@pytest.fixture
def ours(small: UnlearningProblem) -> Classifier:
    return lotus(small, **OPTIONS, batch_size=14)


def test_it_equals_its_loops(ours: Classifier, small: UnlearningProblem) -> None:
    assert distance(ours, naive(small), small.original) < 1e-4


@pytest.mark.parametrize(
    ("fault", "least"),
    [
        ("decay as in Adam", 1e-2),
        ("the temperature stays", 1e-2),
        ("the target of D'_r is the answer", 1e-2),
        ("the accuracy is not rounded", 2e-4),
    ],
)
def test_a_fault_differs_from_it(fault: str, least: float, ours: Classifier, small: UnlearningProblem) -> None:
    assert distance(ours, naive(small, fault), small.original) > least


def test_retained_targets_are_draws_from_the_output_and_forget_targets_become_uniform() -> None:
    logits = torch.tensor([0.5, 0.3, 0.2]).log().repeat(20_000, 1)
    generator = torch.Generator().manual_seed(0)
    drawn = noisy_targets(logits, torch.zeros(20_000, dtype=torch.bool), 1.0, generator)
    assert set(drawn.unique().tolist()) == {0.0, 1.0} and bool((drawn.sum(dim=1) == 1).all())
    assert drawn.mean(dim=0).tolist() == pytest.approx([0.5, 0.3, 0.2], abs=0.02)
    smooth = noisy_targets(logits, torch.ones(20_000, dtype=torch.bool), math.exp(32), generator)
    assert torch.allclose(smooth, torch.full_like(smooth, 1 / 3))


def test_it_ends_when_the_accuracy_is_below_that_of_unseen_images(small: UnlearningProblem) -> None:
    methods.get("lotus").unlearn(small, {"epochs": 3, "unseen_accuracy": 0.5})  # three of seven answers are right
    assert small.monitor.steps == small.monitor.planned_steps == 0
    with pytest.raises(OptionError, match=r"'unseen_accuracy' of the method 'lotus' is 0, .* such as 0\.9\.$"):
        lotus(replace(small, forget_classes=()))
    lotus(replace(small, forget_classes=()), epochs=1, unseen_accuracy=0.4)
    assert small.monitor.steps == 1
