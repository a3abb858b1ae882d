"""LFSSD against plain loops: the modulus of the gradient of the squared norm of the logits."""

import pytest
import torch
from support.naive_importance import naive_dampened, naive_importance
from support.naive_steps import Loss, disagreement, few, negative_log_likelihood
from torch import Tensor, nn

from unlearn_bench.data import Images
from unlearn_bench.methods import UnlearningProblem
from unlearn_bench.methods.lfssd import lfssd
from unlearn_bench.models import Classifier

ALPHA, DAMPENING = 1.2, 0.8


def squared_norm(network: nn.Module, x: Tensor, _label: int) -> Tensor:
    return sum(z * z for z in network(x)[0])


def naive(problem: UnlearningProblem, fault: str = "") -> Classifier:
    loss: Loss = negative_log_likelihood if fault == "it reads labels" else squared_norm
    transform = torch.square if fault == "squared gradients" else torch.abs

    def importance(images: Images) -> list[Tensor]:
        return naive_importance(problem, images, 4, loss, transform)

    return naive_dampened(problem, importance(problem.forget), importance(problem.retain), ALPHA, DAMPENING)


def test_it_equals_a_plain_loop(problem: UnlearningProblem) -> None:
    problem = few(problem, 12)
    ours = lfssd(problem, alpha=ALPHA, dampening=DAMPENING, batch_size=4)
    assert disagreement(ours, naive(problem), problem.original) < 0.02


@pytest.mark.parametrize("fault", ["it reads labels", "squared gradients"])
def test_the_loop_tells_faults_apart(problem: UnlearningProblem, fault: str) -> None:
    problem = few(problem, 12)
    ours = lfssd(problem, alpha=ALPHA, dampening=DAMPENING, batch_size=4)
    assert disagreement(ours, naive(problem, fault), problem.original) > 0.1
