"""Random label with one wrong label for each image, against plain loops."""

from dataclasses import replace

import pytest
import torch
from support.naive_steps import NaiveAdam, disagreement, few, naive_copy, negative_log_likelihood, samples_of

from unlearn_bench.methods import UnlearningProblem
from unlearn_bench.methods.random_label_fixed import random_label_fixed
from unlearn_bench.models import Classifier

OPTIONS = {"epochs": 3, "batch_size": 12, "lr": 1e-3}


def naive(problem: UnlearningProblem, wrong: list[int]) -> Classifier:
    network = naive_copy(problem)
    adam = NaiveAdam(network, lr=OPTIONS["lr"])
    samples = [*samples_of(problem, problem.forget, wrong), *samples_of(problem, problem.retain)]
    for _ in range(3):
        adam.step(samples, negative_log_likelihood)
    return network


def drawn(problem: UnlearningProblem) -> list[int]:
    """The n-th label: of the classes that are neither forgotten nor, without such, the image's own, the one drawn."""
    labels = problem.forget.labels.tolist()
    permitted = [[c for c in range(10) if c not in (problem.forget_classes or (own,))] for own in labels]
    draws = torch.randint(9, (len(labels), 1), generator=torch.Generator().manual_seed(problem.seed + 2))
    return [classes[int(draw)] for classes, draw in zip(permitted, draws, strict=True)]


@pytest.mark.parametrize("classes", [(1,), ()], ids=["class", "samples"])
def test_it_equals_a_plain_loop(problem: UnlearningProblem, classes: tuple[int, ...]) -> None:
    problem = replace(few(problem), forget_classes=classes)
    wrong = drawn(problem)
    assert all(label != own for label, own in zip(wrong, problem.forget.labels.tolist(), strict=True))
    ours = random_label_fixed(problem, **OPTIONS)
    assert disagreement(ours, naive(problem, wrong), problem.original) < 0.02


def test_the_loop_tells_other_labels_apart(problem: UnlearningProblem) -> None:
    """The true label of one image of six is enough to see it."""
    problem = few(problem)
    wrong = drawn(problem)
    ours = random_label_fixed(problem, **OPTIONS)
    wrong[0] = int(problem.forget.labels[0])
    assert disagreement(ours, naive(problem, wrong), problem.original) > 0.1


def test_the_images_and_labels_of_the_problem_stay(problem: UnlearningProblem) -> None:
    labels = problem.forget.labels.clone()
    random_label_fixed(problem, epochs=1)
    assert torch.equal(problem.forget.labels, labels)
    assert problem.monitor.samples_seen == len(problem.forget) + len(problem.retain)
