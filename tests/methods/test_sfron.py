"""SFRon: its steps, and how the two kinds of steps follow each other."""

import pytest
import torch
from support import naive_methods as naive
from support import planted_faults_of_jit_and_sfron as faults

from unlearn_bench.methods import UnlearningProblem
from unlearn_bench.methods.sfron import saliency_mask, sfron


def test_it_equals_its_loops(problem: UnlearningProblem) -> None:
    naive.check_reference(sfron, problem)


@pytest.mark.parametrize("fault", [fault for fault, name in faults.DIFFERS_FROM.items() if name == "sfron"])
def test_a_fault_differs_from_its_loops(fault: str, problem: UnlearningProblem) -> None:
    problem, options = naive.tiny(problem), naive.OPTIONS["sfron"]
    wrong = getattr(faults, fault)(problem, **options)
    assert naive.distance(wrong, naive.sfron(problem, **options)) > 10 * naive.CLOSE


def test_the_faults_are_correct_but_for_their_fault(problem: UnlearningProblem) -> None:
    problem, options = naive.tiny(problem), naive.OPTIONS["sfron"]
    assert naive.distance(faults.balanced(problem, **options), naive.sfron(problem, **options)) < naive.CLOSE


def test_forget_steps_come_first_in_every_few_steps(problem: UnlearningProblem) -> None:
    sfron(problem, iterations=7, forget_every=3, batch_size=8)
    curves = [(step, name) for step, name, _ in problem.monitor.curves]
    assert curves == [
        (1, "forget_loss"),
        (4, "retain_loss"),
        (5, "forget_loss"),
        (8, "retain_loss"),
        (9, "forget_loss"),
        (10, "retain_loss"),
    ]
    assert problem.monitor.planned_steps == 10
    # the mask reads both sets once; then three batches of D_f, and seven of D'_r
    assert problem.monitor.samples_seen == 48 + 24 + 56


def test_a_high_threshold_leaves_retained_descent_alone(problem: UnlearningProblem) -> None:
    """Without momentum and decay, a forget step whose mask is empty changes nothing."""
    problem = naive.tiny(problem)
    plain = {"iterations": 3, "batch_size": 24, "momentum": 0.0, "weight_decay": 0.0}
    masks = saliency_mask(problem.copy_of_original().eval(), problem.forget_batches(8), problem.retain_batches(8), 1e6)
    assert not any(bool(mask.any()) for mask in masks.values())
    one, two = (sfron(problem, threshold=1e6, alpha=alpha, **plain) for alpha in (1.0, 100.0))
    assert all(torch.equal(value, two.state_dict()[name]) for name, value in one.state_dict().items())
