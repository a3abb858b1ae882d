"""l1-sparse: its steps, its schedule, and options that exclude each other."""

import pytest
import torch
from support import naive_methods as naive

from unlearn_bench.core.errors import OptionError
from unlearn_bench.methods import UnlearningProblem
from unlearn_bench.methods.ft import ft
from unlearn_bench.methods.l1_sparse import l1_sparse, penalties


def test_it_equals_its_loops(problem: UnlearningProblem) -> None:
    naive.check_reference(l1_sparse, problem)


def test_the_penalty_falls_to_zero_and_stays_there() -> None:
    assert penalties(0.2, epochs=4, no_l1_epochs=0) == pytest.approx([0.2, 0.15, 0.1, 0.05])
    assert penalties(0.2, epochs=4, no_l1_epochs=2) == pytest.approx([0.2, 0.1, 0.0, 0.0])
    with pytest.raises(OptionError, match=r"'no_l1_epochs' of the method 'l1_sparse' is 4, expected less than epochs"):
        penalties(0.2, epochs=4, no_l1_epochs=4)


def test_without_penalty_it_is_ft(problem: UnlearningProblem) -> None:
    sparse = l1_sparse(problem, epochs=2, batch_size=8, alpha=0.0, momentum=0.0, weight_decay=0.01)
    plain = ft(problem, epochs=2, batch_size=8, weight_decay=0.01)
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in sparse.state_dict().items())


def test_it_makes_weights_smaller(problem: UnlearningProblem) -> None:
    norms = [
        sum(float(p.detach().abs().sum()) for p in l1_sparse(problem, epochs=3, batch_size=8, alpha=alpha).parameters())
        for alpha in (0.0, 1e-3, 1e-2)
    ]
    assert norms[0] > norms[1] > norms[2]
