"""DUCK against plain loops: its targets, its steps, its learning rates, and when it ends."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from support.naive_methods import tiny
from support.naive_steps import NaiveAdam, Samples, disagreement, few, naive_copy, samples_of
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from unlearn_bench.data import Images
from unlearn_bench.methods import UnlearningProblem, methods
from unlearn_bench.methods.duck import duck
from unlearn_bench.models import Classifier

OPTIONS = {"epochs": 2, "lr": 1e-3, "lambda_forget": 2.0, "lambda_retain": 0.7, "temperature": 3.0}
FORGET = 100  # added to the target of an image of D_f, so that one loss serves both parts of a batch


def cosine_distance(h: Tensor, mean: Tensor) -> Tensor:
    return 1 - (h * mean).sum() / ((h**2).sum().sqrt() * (mean**2).sum().sqrt())


def targets_of(problem: UnlearningProblem, means: dict[int, Tensor], fault: str) -> list[int]:
    original, found = naive_copy(problem), []
    for x, own in samples_of(problem, problem.forget):
        h = original.features(x)[0].detach()
        classes = sorted(means, key=lambda c: float(cosine_distance(h, means[c])))
        if fault == "centroids are counted without the forgotten class":
            number = sorted(means).index(classes[0])
            found.append(classes[1] if number == own else classes[0])
        else:
            found.append(next(c for c in classes if c != own))
    return found


def naive(problem: UnlearningProblem, fault: str = "") -> tuple[Classifier, list[int]]:
    network, original = naive_copy(problem), naive_copy(problem)
    retain = samples_of(problem, problem.retain)
    features = [(original.features(x)[0].detach(), y) for x, y in retain]
    means = {c: torch.stack([h for h, y in features if y == c]).mean(0) for c in {y for _, y in retain}}
    targets = targets_of(problem, means, fault)
    forget = [(x, FORGET + c) for (x, _), c in zip(samples_of(problem, problem.forget), targets, strict=True)]

    def step(adam: NaiveAdam, x_f: Samples, x_r: Samples, weights: tuple[float, float]) -> None:
        both = [*x_f, *x_r]

        def loss(network: nn.Module, x: Tensor, label: int) -> Tensor:
            h = network.features(x)[0]
            if label >= FORGET:
                mean = means[label - FORGET]
                near = ((h - mean) ** 2).sum() if fault == "the distance is Euclidean" else cosine_distance(h, mean)
                return weights[0] * near * len(both) / len(x_f) + 0 * network.head(h).sum()  # the head has gradient 0
            z = network.head(h) / (1.0 if fault == "the temperature is lost" else 3.0)
            target = [0.9 * (c == label) + 0.01 for c in range(10)]  # label smoothing of 0.1
            log_p = z - torch.log(torch.exp(z).sum())
            return -weights[1] * sum(t * part for t, part in zip(target, log_p, strict=True)) * len(both) / len(x_r)

        adam.step(both, loss)

    def draw(samples: Samples, generator: torch.Generator, size: int) -> list[Samples]:
        order: Sequence[int] = torch.randperm(len(samples), generator=generator).tolist()
        return [[samples[k] for k in order[begin : begin + size]] for begin in range(0, len(order), size)]

    orders_f, orders_r = (torch.Generator().manual_seed(problem.seed + offset) for offset in (1, 0))
    adam = NaiveAdam(network, lr=1e-3)
    for _ in range(2):
        for x_f in draw(forget, orders_f, 4):
            for x_r in draw(retain, orders_r, 4):
                step(adam, x_f, x_r, (2.0, 0.7))
    if fault != "no refinement":
        adam, x_f = NaiveAdam(network, lr=1e-4), draw(forget, orders_f, 4)[0]
        orders_r.manual_seed(problem.seed)
        for number in range(2):
            adam.lr = 1e-4 * (1 + math.cos(math.pi * number / 80)) / 2  # 40 steps for each of two batches
            step(adam, x_f, draw(retain, orders_r, 512)[0], (0.2, 1.0))
    return network, targets


@pytest.fixture
def small(problem: UnlearningProblem) -> UnlearningProblem:
    """Two images of D'_r are images of D_f under the label 2, the class after the forgotten one: it is the nearest."""
    problem = tiny(few(problem))
    with torch.no_grad():
        problem.original.head.bias[1] += 5  # the original recognises D_f, so that training does not end at once
    pixels = torch.cat([problem.forget.pixels[:2], problem.retain.pixels[2:]])
    return replace(problem, retain=Images(pixels, torch.tensor([2, 2, 0, 0, 4, 4])))


@pytest.fixture
def ours(small: UnlearningProblem) -> Classifier:
    return duck(small, **OPTIONS, label_smoothing=0.1, batch_size=4)


def test_it_equals_its_loops(ours: Classifier, small: UnlearningProblem) -> None:
    theirs, targets = naive(small)
    assert 2 in targets
    assert disagreement(ours, theirs, small.original) < 1e-3


@pytest.mark.parametrize(
    "fault",
    [
        "centroids are counted without the forgotten class",
        "the distance is Euclidean",
        "the temperature is lost",
        "no refinement",
    ],
)
def test_a_fault_differs_from_it(fault: str, ours: Classifier, small: UnlearningProblem) -> None:
    assert disagreement(ours, naive(small, fault)[0], small.original) > 1e-2


def test_the_learning_rate_is_halved_twice_and_then_falls_as_a_cosine(small: UnlearningProblem) -> None:
    rates: list[float] = []
    handle = register_optimizer_step_post_hook(lambda optimizer, *_: rates.append(optimizer.param_groups[0]["lr"]))
    try:  # classes end early; other sets take all epochs
        duck(replace(small, forget_classes=()), epochs=42, lr=0.008, batch_size=6)
    finally:
        handle.remove()
    assert rates[:42] == pytest.approx([0.008] * 25 + [0.004] * 15 + [0.002] * 2)
    assert rates[42:] == pytest.approx([1e-4, 1e-4 * (1 + math.cos(math.pi / 40)) / 2])


def test_it_ends_after_the_epoch_in_which_the_class_is_gone(small: UnlearningProblem) -> None:
    """The accuracy of training images of D_f: here none is right from the start."""
    with torch.no_grad():
        answers = small.original(small.normalise(small.forget.pixels)).argmax(dim=1)
    wrong = replace(small, forget=Images(small.forget.pixels, (answers + 1) % 10))
    methods.get("duck").unlearn(wrong, {"epochs": 3, "lr": 1e-6, "batch_size": 4, "refine": False})
    assert small.monitor.steps == small.monitor.planned_steps == 4
    # both sets for the targets, two batches of D_f in two steps each with half of D'_r, the accuracy on D_f
    assert small.monitor.samples_seen == small.monitor.forward_images == 12 + 2 * 6 + 2 * 6 + 6
