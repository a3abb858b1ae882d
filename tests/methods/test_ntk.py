"""NTK against a plain loop, and what it refuses."""

import math
from dataclasses import replace

import pytest
import torch
from support.naive_methods import tiny
from support.naive_steps import disagreement, few, naive_copy, samples_of
from torch import Tensor

from unlearn_bench.core.errors import OptionError
from unlearn_bench.methods import UnlearningProblem, methods
from unlearn_bench.methods.ntk import evenly, ntk
from unlearn_bench.models import Classifier, build

DECAY = 0.05


def solution(columns: list[tuple[Tensor, float]], images: int, fault: str) -> Tensor:
    """−G Θ⁻¹ (p − y), from the columns of G with their p − y."""
    jacobian = torch.stack([column for column, _ in columns], dim=1)
    theta = jacobian.T @ jacobian
    for index in range(len(columns)):
        theta[index, index] += DECAY * (1 if fault == "the decay is not times the images" else images)
    return -jacobian @ torch.linalg.inv(theta) @ torch.tensor([error for _, error in columns]).double()


def naive(problem: UnlearningProblem, fault: str = "") -> Classifier:
    network = naive_copy(problem)
    parameters = list(network.parameters())
    columns: list[tuple[Tensor, float]] = []
    retained, forgotten = (samples_of(problem, images) for images in (problem.retain, problem.forget))
    for x, label in [*retained, *forgotten]:
        z = network(x)[0]
        p = torch.exp(z) / torch.exp(z).sum()
        for c in range(10):
            output = p[c] if fault == "the outputs are probabilities" else z[c]
            gradient = torch.autograd.grad(output, parameters, retain_graph=True)
            columns.append((torch.cat([g.flatten() for g in gradient]), float(p[c].detach()) - (c == label)))
    w_c = solution(columns, len(retained) + len(forgotten), fault)
    w_r = solution(columns[: 10 * len(retained)], len(retained), fault)
    change = w_r - w_c
    e = torch.zeros_like(w_r) - w_r  # the model's weights minus the original's, minus w_r
    inner = float(change @ e / (change.norm() * e.norm()))
    if inner < 0:
        norm = change.norm() + 2 * math.sin(math.acos(inner) - math.pi / 2) * e.norm()
    else:
        norm = change.norm() + 2 * math.cos(math.acos(inner)) * e.norm()
    scale = 1.0 if fault == "the step has its own norm" else float(norm / change.norm())
    with torch.no_grad():
        begin = 0
        for parameter in parameters:
            part = change[begin : begin + parameter.numel()].view_as(parameter)
            parameter.add_((-scale if fault == "the step goes back" else scale) * part)
            begin += parameter.numel()
    return network


@pytest.fixture
def small(problem: UnlearningProblem) -> UnlearningProblem:
    return tiny(few(problem, 4))


@pytest.fixture
def ours(small: UnlearningProblem) -> Classifier:
    return ntk(small, weight_decay=DECAY)


def test_it_equals_its_loop(ours: Classifier, small: UnlearningProblem) -> None:
    assert disagreement(ours, naive(small), small.original) < 1e-3


@pytest.mark.parametrize(
    "fault",
    [
        "the decay is not times the images",
        "the outputs are probabilities",
        "the step has its own norm",
        "the step goes back",
    ],
)
def test_a_fault_differs_from_it(fault: str, ours: Classifier, small: UnlearningProblem) -> None:
    assert disagreement(ours, naive(small, fault), small.original) > 1e-2


def test_a_jacobian_that_is_too_large_is_refused(problem: UnlearningProblem) -> None:
    wide = build({"name": "resnet18", "width": 64, "groups": 2}, channels=1, classes=10, seed=7)
    problem = replace(problem, original=wide.eval().requires_grad_(False))
    with pytest.raises(OptionError, match=r"480 logits \(48 images, 10 classes\).*Set images to at most 2\.$"):
        ntk(problem)


def test_it_reads_few_images_evenly_spaced(problem: UnlearningProblem) -> None:
    assert torch.equal(evenly(problem.retain, 5).labels, problem.retain.labels[[0, 4, 9, 14, 19]])
    assert len(evenly(problem.retain, 99)) == 24
    problem = few(problem, 4)
    methods.get("ntk").unlearn(problem, {"images": 2})
    monitor = problem.monitor
    assert (monitor.samples_seen, monitor.forward_images, monitor.backward_images) == (4, 4, 40)
