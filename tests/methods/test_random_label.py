"""Random label with labels drawn at each step, against plain loops."""

import pytest
import torch
from support.naive_steps import NaiveSgd, disagreement, few, naive_copy, negative_log_likelihood

from unlearn_bench.methods import UnlearningProblem
from unlearn_bench.methods.random_label import random_label
from unlearn_bench.models import Classifier

OPTIONS = {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.01}


def naive(problem: UnlearningProblem, fault: str = "") -> Classifier:
    """Two epochs of D_f, then D'_r, a batch each. The order of a batch matters, since labels are drawn by place."""
    network = naive_copy(problem)
    sgd = NaiveSgd(network, **OPTIONS)
    generator = torch.Generator().manual_seed(problem.seed + 2)
    forget, retain = problem.forget_batches(6), problem.retain_batches(6)
    first: list[int] = []
    for _ in range(2):
        for x, y in forget:
            labels = torch.randint(0, 10, (len(y),), generator=generator).tolist()
            first = first or labels
            labels = {"true labels": y.tolist(), "drawn once": first}.get(fault, labels)
            sgd.step([(image[None].double(), label) for image, label in zip(x, labels, strict=True)], nll)
        for x, y in retain:
            sgd.step([(image[None].double(), int(label)) for image, label in zip(x, y, strict=True)], nll)
    return network


nll = negative_log_likelihood


def test_it_equals_a_plain_loop(problem: UnlearningProblem) -> None:
    problem = few(problem)
    ours = random_label(problem, epochs=2, batch_size=6, **OPTIONS)
    assert disagreement(ours, naive(problem), problem.original) < 1e-3
    assert problem.monitor.planned_steps == problem.monitor.steps == 4
    assert {name for _, name, _ in problem.monitor.curves} == {"forget_loss", "recover_loss"}


@pytest.mark.parametrize("fault", ["true labels", "drawn once"])
def test_the_loop_tells_faults_apart(problem: UnlearningProblem, fault: str) -> None:
    problem = few(problem)
    ours = random_label(problem, epochs=2, batch_size=6, **OPTIONS)
    assert disagreement(ours, naive(problem, fault), problem.original) > 0.05
