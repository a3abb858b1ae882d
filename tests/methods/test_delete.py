"""DELETE against plain loops, and the statistics of batch normalisations."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from support.naive_steps import NaiveSgd, disagreement, divergence, few, naive_copy, probabilities, samples_of
from torch import Tensor, nn

from unlearn_bench.methods import UnlearningProblem
from unlearn_bench.methods.delete import delete
from unlearn_bench.models import Classifier, build

OPTIONS: dict[str, Any] = {"lr": 0.02, "momentum": 0.9}


def naive(problem: UnlearningProblem, fault: str = "") -> Classifier:
    """Three steps on all of D_f; the target is the original's output without the own label, renormalised."""
    network, teacher = naive_copy(problem), naive_copy(problem)
    sgd = NaiveSgd(network, **OPTIONS)

    def loss(student: nn.Module, x: Tensor, label: int) -> Tensor:
        with torch.no_grad():
            target = probabilities((student if fault == "the teacher is the student" else teacher)(x)[0])
        if fault != "the label is kept":
            target[label] = torch.zeros(())
        target = [part / sum(target) for part in target]
        value = divergence(target, probabilities(student(x)[0]))
        return value / len(target) if fault == "a mean over classes" else value

    for _ in range(3):
        sgd.step(samples_of(problem, problem.forget), loss)
    return network


@pytest.fixture
def certain(problem: UnlearningProblem) -> UnlearningProblem:
    """A problem whose original is sure of something: an untrained one's output hardly tells classes apart."""
    network = problem.copy_of_original().eval().requires_grad_(False)
    network.head.weight.mul_(5)
    return replace(few(problem), original=network)


@pytest.mark.parametrize("classes", [(1,), ()], ids=["class", "samples"])
def test_it_equals_a_plain_loop(certain: UnlearningProblem, classes: tuple[int, ...]) -> None:
    problem = replace(certain, forget_classes=classes)
    ours = delete(problem, epochs=3, batch_size=6, **OPTIONS)
    assert disagreement(ours, naive(problem), problem.original) < 1e-3


@pytest.mark.parametrize("fault", ["a mean over classes", "the teacher is the student", "the label is kept"])
def test_the_loop_tells_faults_apart(certain: UnlearningProblem, fault: str) -> None:
    ours = delete(certain, epochs=3, batch_size=6, **OPTIONS)
    assert disagreement(ours, naive(certain, fault), certain.original) > 0.05


@pytest.mark.parametrize("freezes", [True, False])
def test_running_statistics_follow_the_forget_set_unless_frozen(problem: UnlearningProblem, freezes: bool) -> None:
    original = build({"name": "resnet18_bn", "width": 4}, channels=1, classes=10, seed=7).eval().requires_grad_(False)
    problem = replace(few(problem), original=original)
    after = dict(delete(problem, epochs=1, batch_size=6, freeze_statistics=freezes).named_buffers())
    is_same = {torch.equal(value, after[name]) for name, value in original.named_buffers()}
    assert is_same == {freezes}
