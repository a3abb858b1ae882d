"""Contracts that every registered method keeps, and faults that the checks must not let through."""

import re
from typing import Annotated

import pytest
import torch
from pydantic import Field
from support.benchmark import make_problem

from unlearn_bench.checks.conformance import all_checks, examine
from unlearn_bench.checks.conformance.test_bed import TestBed
from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.methods import Method, UnlearningProblem, methods
from unlearn_bench.methods.hyperparameters import LearningRate
from unlearn_bench.models import Classifier
from unlearn_bench.running.guards.weights import keys_of
from unlearn_bench.training.loop import OptimizerName, cross_entropy, make_optimizer

ALL = list(all_checks())
# by the cheats of tests/test_guards.py
CHEATED = ("uses_what_it_is_given", "keeps_to_it_over_many_epochs", "keeps_to_it_on_many_images")
# kept apart from the registry, which other tests walk
with methods.temporarily():
    from support import planted_faults, planted_faults_of_data, planted_field_faults

    CAUGHT_BY = planted_faults.CAUGHT_BY | planted_faults_of_data.CAUGHT_BY | planted_field_faults.CAUGHT_BY
    FAULTS = {name: methods.get(name) for name in CAUGHT_BY}


@pytest.fixture(scope="module")
def test_bed() -> TestBed:
    torch.set_num_threads(1)
    return TestBed(torch.device("cuda" if torch.cuda.is_available() else "cpu"))


@pytest.mark.parametrize("method", list(methods), ids=lambda method: method.name)
def test_every_method_is_what_it_says(method: Method, test_bed: TestBed) -> None:
    findings = list(examine(method, test_bed))
    assert [finding.check for finding in findings] == ALL
    assert not [finding for finding in findings if finding.verdict == "broken"]


@pytest.mark.parametrize(("name", "caught_by"), CAUGHT_BY.items(), ids=str)
def test_every_planted_fault_is_caught_by_its_check(name: str, caught_by: str, test_bed: TestBed) -> None:
    (finding,) = examine(FAULTS[name], test_bed, [caught_by])
    assert finding.verdict == "broken", finding
    assert finding.detail


def test_every_check_that_can_tell_something_has_a_fault() -> None:
    """A check that no fault breaks may be one that cannot fail; undocumented methods are planted below."""
    assert set(ALL) == set(CAUGHT_BY.values()) | set(CHEATED) | {"is_documented"}
    undocumented = Method("x", "X", "", lambda problem: problem, "D'_r")
    assert next(examine(undocumented, TestBed(), ["is_documented"])).verdict == "broken"


def test_each_fault_breaks_little_else(test_bed: TestBed) -> None:
    """The checks tell faults apart: one of them, all checks made, breaks its own and no other."""
    broken = [f.check for f in examine(FAULTS["cf_k_normalisation_moves"], test_bed) if f.verdict == "broken"]
    assert broken == ["moves_what_it_says"]


def learns_a_noise(
    problem: UnlearningProblem,
    *,
    lr: LearningRate = 0.05,
    optimizer: Annotated[OptimizerName, Field(description="of the model")] = "adam",
    momentum: Annotated[float, Field(ge=0, lt=1, description="of SGD alone")] = 0.9,
) -> Classifier:
    """A correct method that learns an error-maximising noise image, then learns from it (after Tarun et al. 2023)."""
    network = problem.copy_of_original()
    noise = torch.zeros(1, *problem.normalise(problem.forget.pixels).shape[1:], requires_grad=True)
    climb = torch.optim.Adam([noise], lr=0.1)
    batches = problem.forget_batches(8)
    problem.monitor.plan(2 * len(batches))
    for x, y in batches:
        climb.zero_grad()
        loss = -cross_entropy(network.eval(), x + noise, y)
        loss.backward()
        climb.step()
        problem.monitor.step()
        problem.monitor.record("noise_loss", float(loss.detach()))

    def ascend(network: Classifier, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return -cross_entropy(network, x + noise.detach(), y)

    moves = make_optimizer(optimizer, network.parameters(), lr=lr / 10, momentum=momentum)
    problem.train_epoch(network, batches, moves, loss=ascend)
    return network


def damps(
    problem: UnlearningProblem, *, share: Annotated[float, Field(ge=0, le=1, description="of the weights")] = 0.1
) -> Classifier:
    """A correct method without any loss: weights shrink where the features of D_f are large."""
    network = problem.copy_of_original()
    large = problem.predict(network, problem.forget).features.abs().mean(dim=0)
    with torch.no_grad():
        network.head.weight.mul_(1 - share * large / large.max())
    return network


@pytest.mark.parametrize(
    "method",
    [
        Method("noise", "Noise", "Tarun et al. 2023", learns_a_noise, "D_f", makes_inputs=True),
        Method(
            "damps", "Damping", "made up", damps, "D_f", is_random=False, trains=("head.weight",), unresponsive="no"
        ),
    ],
    ids=lambda method: method.name,
)
def test_correct_methods_of_other_kinds_raise_no_alarm(method: Method, test_bed: TestBed) -> None:
    assert not [finding for finding in examine(method, test_bed) if finding.verdict == "broken"]


def test_a_fault_is_explained_by_a_sentence(test_bed: TestBed) -> None:
    (finding,) = examine(FAULTS["scrub_kl_of_raw_logits"], test_bed, ["compares_distributions"])
    sentence = r"the target of kl_divergence is not log-probabilities: the sum is [\d.e+]+, expected 1$"
    assert re.match(sentence, finding.detail)


def test_the_parts_of_a_network(test_bed: TestBed) -> None:
    assert keys_of(test_bed.group_norm, "head.bias") == {"head.bias"}
    assert all(key.startswith("layer4.") for key in keys_of(test_bed.group_norm, "last_stage"))
    assert {key.split(".")[-1] for key in keys_of(test_bed.batch_norm, "last_stage")} >= {"weight", "running_var"}


# images drawn, passed forward and passed backward, counted by hand for 24 images in D_f and 24 in D'_r
BUDGETS = {
    "ft": ({"epochs": 2}, (48, 48, 48)),
    "ft_classifier": ({"epochs": 2}, (48, 48, 48)),
    "neggrad": ({"epochs": 3}, (72, 72, 72)),
    "neggrad_ft": ({"epochs": 2}, (96, 96, 96)),
    "scrub": ({"epochs": 3, "msteps": 2}, (120, 240, 120)),  # the teacher passes forward as well
    "fisher": ({}, (24, 24, 240)),  # a gradient for each of ten classes
    "calibration": ({}, (24, 24, 0)),
    "bias_cheat": ({}, (0, 0, 0)),
    # two whole pairs of epochs (one batch each): U_k from all of D'_r before each forget phase
    "muda": ({"iterations": 4}, (144, 144, 96)),
    "random_label": ({"epochs": 2}, (96, 96, 96)),
    "random_label_fixed": ({"epochs": 2}, (96, 96, 96)),
    "salun": ({"epochs": 2}, (120, 120, 120)),  # D_f once more for the mask
    "delete": ({"epochs": 2}, (48, 96, 48)),
    "bad_teacher": ({"epochs": 2}, (96, 288, 96)),  # two teachers, and each sees every image, as in the code
    "ssd": ({}, (48, 48, 48)),
    "lfssd": ({}, (48, 48, 48)),
}


@pytest.mark.parametrize("name", BUDGETS)
def test_budgets_are_counted(name: str, digits: Dataset, split: ForgetSplit) -> None:
    method = methods.get(name)
    options, expected = BUDGETS[name]
    problem = make_problem(digits, split, method)
    method.unlearn(problem, options)
    monitor = problem.monitor
    assert (monitor.samples_seen, monitor.forward_images, monitor.backward_images) == expected
