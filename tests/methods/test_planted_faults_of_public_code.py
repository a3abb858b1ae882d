"""The faults of public code in l1-sparse, NegGrad+, Boundary Shrink and Expanding, CT and MSG do not go unnoticed."""

import pytest
import torch
from support import naive_methods as naive

from unlearn_bench.checks.conformance import examine
from unlearn_bench.checks.conformance.test_bed import TestBed
from unlearn_bench.methods import UnlearningProblem, methods

with methods.temporarily():  # kept apart from the registry, which other tests walk
    from support import planted_faults_of_public_code as faults


@pytest.fixture(scope="module")
def test_bed() -> TestBed:
    torch.set_num_threads(1)
    return TestBed()


@pytest.mark.parametrize(("fault", "name"), faults.DIFFERS_FROM.items(), ids=str)
def test_a_fault_differs_from_the_reference(fault: str, name: str, problem: UnlearningProblem) -> None:
    problem = naive.tiny(problem)
    theirs = getattr(naive, name)(problem, **naive.OPTIONS[name])
    wrong = getattr(faults, fault)(problem, **naive.OPTIONS[name])
    assert naive.distance(wrong, theirs) > 10 * naive.CLOSE


@pytest.mark.parametrize(("fault", "caught_by"), faults.CAUGHT_BY.items(), ids=str)
def test_a_fault_is_caught_by_its_check(fault: str, caught_by: str, test_bed: TestBed) -> None:
    (finding,) = examine(faults.FAULTS[fault], test_bed, [caught_by])
    assert finding.verdict == "broken", finding
    assert finding.detail
