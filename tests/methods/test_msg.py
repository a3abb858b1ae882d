"""MSG: its steps, and which weights it draws anew."""

from dataclasses import replace

import pytest
import torch
from support import naive_methods as naive
from torch import nn

from unlearn_bench.core.errors import OptionError
from unlearn_bench.methods import UnlearningProblem
from unlearn_bench.methods.msg import msg, redraw_small_gradients
from unlearn_bench.models.external import External


def test_it_equals_its_loops(problem: UnlearningProblem) -> None:
    naive.check_reference(msg, problem)


@pytest.mark.parametrize("groups", [1, 16])
def test_the_smallest_gradients_are_drawn_anew(groups: int) -> None:
    layer = nn.Conv2d(16, 32, 5, groups=groups)
    before, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    generator = torch.Generator().manual_seed(0)
    layer.weight.grad = torch.randn(before.shape, generator=generator)
    (factor,) = redraw_small_gradients(layer, 0.3, 0.1, seed=1).values()
    is_new = layer.weight != before
    assert int(is_new.sum()) == round(0.3 * before.numel())
    assert layer.weight.grad.abs()[is_new].max() <= layer.weight.grad.abs()[~is_new].min()
    assert torch.equal(factor, torch.where(is_new, 1.0, 0.1))
    assert torch.equal(layer.bias, bias)
    assert float(layer.weight.detach()[is_new].std()) == pytest.approx((2 / (32 * 25)) ** 0.5, rel=0.1)


def test_without_new_weights_and_factors_only_the_schedule_differs_from_finetuning(problem: UnlearningProblem) -> None:
    problem = naive.tiny(problem)
    kept = msg(problem, epochs=1, batch_size=24, lr=0.01, momentum=0.0, weight_decay=0.0, init_rate=0.0)
    scaled = msg(
        problem, epochs=1, batch_size=24, lr=0.01, momentum=0.0, weight_decay=0.0, init_rate=0.0, kept_gradient=1.0
    )
    start = problem.original.conv1.weight
    assert torch.allclose(10 * (kept.conv1.weight - start), scaled.conv1.weight - start, atol=1e-5)
    assert torch.equal(kept.head.weight, scaled.head.weight)


def test_the_gradients_leave_the_statistics_of_batch_normalisation_alone(problem: UnlearningProblem) -> None:
    """Running statistics follow D'_r in finetuning, and never D_f."""
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    network = External(module, lambda: module, example=torch.zeros(2, 1, 8, 8), classes=10).eval()
    result = msg(replace(problem, original=network.requires_grad_(False)), epochs=2, batch_size=8)
    assert int(result.backbone[1].num_batches_tracked) == 6


def test_a_network_without_convolutions_is_refused(problem: UnlearningProblem) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))
    network = External(module, lambda: module, example=torch.zeros(2, 1, 8, 8), classes=10)
    with pytest.raises(OptionError, match="this network has no convolution"):
        msg(replace(problem, original=network))
