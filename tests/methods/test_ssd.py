"""SSD against plain loops, with the data that its importance is compared with."""

from dataclasses import replace

import pytest
import torch
from support.naive_importance import naive_dampened, naive_importance
from support.naive_steps import disagreement, few, negative_log_likelihood
from torch import Tensor

from unlearn_bench.core.errors import OptionError
from unlearn_bench.data import Images
from unlearn_bench.methods import UnlearningProblem
from unlearn_bench.methods.ssd import ssd

ALPHA, DAMPENING = 1.5, 0.8


@pytest.fixture
def small(problem: UnlearningProblem) -> UnlearningProblem:
    """Images whose classes are not in order."""
    problem = few(problem, 12)
    return replace(problem, retain=problem.retain[torch.randperm(12, generator=torch.Generator().manual_seed(0))])


def importances(problem: UnlearningProblem, batch_size: int = 4) -> tuple[list[Tensor], list[Tensor]]:
    def of(images: Images) -> list[Tensor]:
        return naive_importance(problem, images, batch_size, negative_log_likelihood, torch.square)

    return of(problem.forget), of(problem.retain)


def test_it_equals_a_plain_loop(small: UnlearningProblem) -> None:
    ours = ssd(small, alpha=ALPHA, dampening=DAMPENING, batch_size=4)
    naive = naive_dampened(small, *importances(small), ALPHA, DAMPENING)
    assert disagreement(ours, naive, small.original) < 0.02
    assert small.monitor.samples_seen == 24
    assert small.monitor.planned_steps == small.monitor.steps == 6


def test_the_importance_of_all_data_weighs_the_sets_by_their_sizes(small: UnlearningProblem) -> None:
    problem = replace(small, forget_share=0.05)
    forgotten, retained = importances(problem)
    everything = [0.05 * f + 0.95 * r for f, r in zip(forgotten, retained, strict=True)]
    naive = naive_dampened(problem, forgotten, everything, ALPHA, DAMPENING)
    ours = ssd(problem, alpha=ALPHA, dampening=DAMPENING, batch_size=4, against="D")
    assert disagreement(ours, naive, problem.original) < 0.02
    halves = [(f + r) / 2 for f, r in zip(forgotten, retained, strict=True)]
    assert disagreement(ours, naive_dampened(problem, forgotten, halves, ALPHA, DAMPENING), problem.original) > 0.2


def test_alpha_that_selects_nothing_is_refused(small: UnlearningProblem) -> None:
    """With ten equal classes, F_f > 10 · (0.1 F_f + 0.9 F_r) has no solution."""
    with pytest.raises(OptionError, match=r"'alpha' is 10, but D_f is 10 % of D, .* Set alpha below 10, or against to"):
        ssd(replace(small, forget_share=0.1), alpha=10.0, against="D")


@pytest.mark.parametrize("fault", ["a mean of squares", "weights may grow", "sets are exchanged"])
def test_the_loop_tells_faults_apart(small: UnlearningProblem, fault: str) -> None:
    dampening = 4.0 if fault == "weights may grow" else DAMPENING
    ours = ssd(small, alpha=ALPHA, dampening=dampening, batch_size=4)
    forgotten, retained = importances(small, batch_size=1 if fault == "a mean of squares" else 4)
    if fault == "sets are exchanged":
        forgotten, retained = retained, forgotten
    naive = naive_dampened(small, forgotten, retained, ALPHA, dampening, grows=fault == "weights may grow")
    assert disagreement(ours, naive, small.original) > 0.2
