"""Boundary Expanding: its steps, and the extra row of the head, which nobody sees afterwards."""

import pytest
import torch
from support import naive_methods as naive
from torch import nn

from unlearn_bench.methods import UnlearningProblem
from unlearn_bench.methods.boundary_expand import boundary_expand, extra_row


def test_it_equals_a_head_of_one_more_row_that_is_cut(problem: UnlearningProblem) -> None:
    naive.check_reference(boundary_expand, problem)


def test_the_result_looks_like_the_original(problem: UnlearningProblem) -> None:
    watched: list[int] = []
    problem.monitor.watch = lambda network: watched.append(network.head.out_features)
    network = boundary_expand(problem, epochs=2, batch_size=8)
    before, after = problem.original.state_dict(), network.state_dict()
    assert {name: value.shape for name, value in before.items()} == {name: v.shape for name, v in after.items()}
    assert list(before) == list(after)
    assert watched == [10] * 6, "a trace of the run sees ten classes too"


def test_the_extra_row_starts_small_and_at_random() -> None:
    head = nn.Linear(4000, 10)
    row, again, other = extra_row(head, 0), extra_row(head, 0), extra_row(head, 1)
    assert torch.equal(row.weight, again.weight)
    assert not torch.equal(row.weight, other.weight)
    assert float(row.weight.detach().std()) == pytest.approx((2 / 4011) ** 0.5, rel=0.1)
    assert row.bias is not None and not row.bias.any()
    assert extra_row(nn.Linear(8, 10, bias=False), 0).bias is None
