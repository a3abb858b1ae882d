"""NegGrad+: its steps, and how the batches of D_f repeat."""

import torch
from support import naive_methods as naive

from unlearn_bench.methods import UnlearningProblem
from unlearn_bench.methods.ft import ft
from unlearn_bench.methods.neggrad_plus import neggrad_plus


def test_it_equals_its_loops(problem: UnlearningProblem) -> None:
    naive.check_reference(neggrad_plus, problem, forget_batch_size=naive.WHOLE)


def test_with_the_whole_weight_on_retained_images_it_is_ft(problem: UnlearningProblem) -> None:
    mixed = neggrad_plus(problem, epochs=2, batch_size=8, alpha=1.0)
    plain = ft(problem, epochs=2, batch_size=8)
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in mixed.state_dict().items())


def test_batches_of_the_forget_set_repeat_across_epochs(problem: UnlearningProblem) -> None:
    """Six steps of 8 retained images; batches of D_f, of 24 images, have 16, 8, 16, 8, 16 and 8 images."""
    neggrad_plus(problem, epochs=2, batch_size=8, forget_batch_size=16)
    assert problem.monitor.steps == problem.monitor.planned_steps == 6
    assert problem.monitor.samples_seen == 2 * 24 + 3 * 24
