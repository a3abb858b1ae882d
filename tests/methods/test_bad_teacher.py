"""Bad teacher against plain loops."""

import copy
from dataclasses import replace

import pytest
import torch
from support.naive_steps import NaiveAdam, disagreement, divergence, few, naive_copy, probabilities, samples_of
from torch import Tensor, nn

from unlearn_bench.methods import UnlearningProblem
from unlearn_bench.methods.bad_teacher import bad_teacher
from unlearn_bench.models import Classifier, build

TEMPERATURE = 2.0


def naive(problem: UnlearningProblem, fault: str = "") -> tuple[Classifier, list[float]]:
    """The student after three steps on all of D_f and D'_r, and its loss before each."""
    student, competent, incompetent = naive_copy(problem), naive_copy(problem), copy.deepcopy(problem.original)
    incompetent.reinitialise(incompetent, problem.seed)
    incompetent.double()
    samples = samples_of(problem, problem.forget, [1] * 6) + samples_of(problem, problem.retain, [0] * 6)

    def loss(network: nn.Module, x: Tensor, is_forget: int) -> Tensor:
        teacher = incompetent if is_forget else competent
        if fault == "the teacher is the student":
            teacher = network if is_forget else competent
        with torch.no_grad():
            target = probabilities(teacher(x)[0], TEMPERATURE)
        return divergence(target, probabilities(network(x)[0], TEMPERATURE))

    adam, losses = NaiveAdam(student, lr=1e-3), []
    for _ in range(3):
        losses.append(float(torch.stack([loss(student, x, y).detach() for x, y in samples]).mean()))
        adam.step(samples, loss)
    return student, losses


@pytest.fixture
def certain(problem: UnlearningProblem) -> UnlearningProblem:
    network = problem.copy_of_original().eval().requires_grad_(False)
    network.head.weight.mul_(5)
    return replace(few(problem), original=network)


def ours(problem: UnlearningProblem) -> Classifier:
    return bad_teacher(problem, epochs=3, batch_size=12, lr=1e-3, temperature=TEMPERATURE)


def test_it_equals_a_plain_loop(certain: UnlearningProblem) -> None:
    """The recorded loss too: it is a mean over samples and a sum over classes."""
    student, losses = naive(certain)
    assert disagreement(ours(certain), student, certain.original) < 0.05
    assert [value for _, _, value in certain.monitor.curves] == pytest.approx(losses, rel=1e-2)


def test_the_loop_tells_a_shared_teacher_apart(certain: UnlearningProblem) -> None:
    student, _ = naive(certain, "the teacher is the student")
    assert disagreement(ours(certain), student, certain.original) > 0.2


def test_the_incompetent_teacher_has_fresh_statistics_that_it_uses(problem: UnlearningProblem) -> None:
    """Of a network with batch normalisation: running means of 0 and variances of 1, in evaluation mode."""
    original = build({"name": "resnet18_bn", "width": 4}, channels=1, classes=10, seed=7).eval().requires_grad_(False)
    for name, buffer in original.named_buffers():
        if name.endswith("running_mean"):
            buffer.fill_(0.3)
    problem = replace(few(problem), original=original)
    bad_teacher(problem, epochs=1, batch_size=12)
    fresh = build({"name": "resnet18_bn", "width": 4}, channels=1, classes=10, seed=problem.seed).eval()
    student = copy.deepcopy(original).train()
    x = problem.normalise(torch.cat([problem.forget.pixels, problem.retain.pixels]))
    incompetent = copy.deepcopy(original)
    incompetent.reinitialise(incompetent, problem.seed)
    for name, buffer in incompetent.named_buffers():
        assert torch.equal(buffer, dict(fresh.named_buffers())[name]), name
    with torch.no_grad():
        target = torch.cat([incompetent(x[:6]), original(x[6:])]).log_softmax(1)
        loss = (target.exp() * (target - student(x).log_softmax(1))).sum(1).mean()
    ((_, _, recorded),) = problem.monitor.curves
    assert recorded == pytest.approx(float(loss), rel=1e-3)
