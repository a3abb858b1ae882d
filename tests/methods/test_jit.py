"""JiT: its steps, and what it counts."""

import pytest
from support import naive_methods as naive
from support import planted_faults_of_jit_and_sfron as faults

from unlearn_bench.methods import UnlearningProblem, methods
from unlearn_bench.methods.jit import jit


def test_it_equals_its_loops(problem: UnlearningProblem) -> None:
    naive.check_reference(jit, problem)


@pytest.mark.parametrize("fault", [fault for fault, name in faults.DIFFERS_FROM.items() if name == "jit"])
def test_a_fault_differs_from_its_loops(fault: str, problem: UnlearningProblem) -> None:
    problem, options = naive.tiny(problem), naive.OPTIONS["jit"]
    assert naive.distance(getattr(faults, fault)(problem, **options), naive.jit(problem, **options)) > 10 * naive.CLOSE


def test_every_noisy_copy_is_counted(problem: UnlearningProblem) -> None:
    methods.get("jit").unlearn(problem, {"epochs": 2, "batch_size": 8, "copies": 3})
    monitor = problem.monitor
    assert (monitor.samples_seen, monitor.forward_images, monitor.backward_images) == (192, 192, 48)
