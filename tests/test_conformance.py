"""Contracts that every registered method keeps, and faults that the checks must not let through."""

import re

import planted_faults
import pytest
import torch
from conftest import make_problem

from unlearn_bench.conformance import all_checks, examine
from unlearn_bench.conformance.scene import Scene, keys_of
from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.methods import Method, methods

ALL = list(all_checks())
# kept apart from the registry, which other tests walk
FAULTS = {name: methods._entries.pop(name) for name in planted_faults.CAUGHT_BY}


@pytest.fixture(scope="module")
def scene() -> Scene:
    torch.set_num_threads(1)
    return Scene(torch.device("cuda" if torch.cuda.is_available() else "cpu"))


@pytest.mark.parametrize("method", list(methods), ids=lambda method: method.name)
def test_every_method_is_what_it_says(method: Method, scene: Scene) -> None:
    findings = list(examine(method, scene))
    assert [finding.check for finding in findings] == ALL
    assert not [finding for finding in findings if finding.verdict == "broken"]


@pytest.mark.parametrize(("name", "caught_by"), planted_faults.CAUGHT_BY.items(), ids=str)
def test_every_planted_fault_is_caught_by_its_check(name: str, caught_by: str, scene: Scene) -> None:
    (finding,) = examine(FAULTS[name], scene, [caught_by])
    assert finding.verdict == "broken", finding
    assert finding.detail


def test_every_check_that_can_tell_something_has_a_fault() -> None:
    """A check that no fault breaks may be one that cannot fail; undocumented methods are planted below."""
    assert set(ALL) == set(planted_faults.CAUGHT_BY.values()) | {"is_documented"}
    undocumented = Method("x", "X", "", lambda problem: problem, "D'_r")
    assert next(examine(undocumented, Scene(), ["is_documented"])).verdict == "broken"


def test_each_fault_breaks_little_else(scene: Scene) -> None:
    """The checks tell faults apart: one of them, all checks made, breaks its own and no other."""
    broken = [f.check for f in examine(FAULTS["cf_k_normalisation_moves"], scene) if f.verdict == "broken"]
    assert broken == ["moves_what_it_says"]


def test_a_fault_is_explained_by_a_sentence(scene: Scene) -> None:
    (finding,) = examine(FAULTS["scrub_kl_of_raw_logits"], scene, ["compares_distributions"])
    assert re.match(r"the target of kl_divergence holds no log-probabilities: they sum to [\d.e+]+$", finding.detail)


def test_the_parts_of_a_network(scene: Scene) -> None:
    assert keys_of(scene.group_norm, "head.bias") == {"head.bias"}
    assert all(key.startswith("layer4.") for key in keys_of(scene.group_norm, "last_stage"))
    assert {key.split(".")[-1] for key in keys_of(scene.batch_norm, "last_stage")} >= {"weight", "running_var"}


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
}


@pytest.mark.parametrize("name", BUDGETS)
def test_budgets_are_counted(name: str, digits: Dataset, split: ForgetSplit) -> None:
    method = methods.get(name)
    options, expected = BUDGETS[name]
    problem = make_problem(digits, split, method)
    method.unlearn(problem, options)
    journal = problem.journal
    assert (journal.samples_seen, journal.forward_images, journal.backward_images) == expected
