"""CT: its steps, and which kernels it transposes."""

from dataclasses import replace

import pytest
import torch
from support import naive_methods as naive
from torch import nn

from unlearn_bench.core.errors import OptionError
from unlearn_bench.methods import UnlearningProblem
from unlearn_bench.methods.ct import ct, transpose_kernels
from unlearn_bench.models.external import External


def test_it_equals_its_loops(problem: UnlearningProblem) -> None:
    naive.check_reference(ct, problem)


def test_kernels_are_transposed_in_place_also_of_groups() -> None:
    network = nn.Sequential(
        nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 8, 1), nn.Conv2d(8, 8, (1, 3)), nn.Conv2d(8, 8, 5, groups=2)
    )
    before = [layer.weight.detach().clone() for layer in network]
    parameters = list(network.parameters())
    assert transpose_kernels(network) == 2
    assert all(one is other for one, other in zip(parameters, network.parameters(), strict=True))
    assert torch.equal(network[0].weight, before[0].transpose(2, 3))
    assert torch.equal(network[1].weight, before[1]) and torch.equal(network[2].weight, before[2])
    assert torch.equal(network[3].weight, before[3].transpose(2, 3))
    transpose_kernels(network)
    assert all(torch.equal(layer.weight, weight) for layer, weight in zip(network, before, strict=True))


@pytest.mark.parametrize("first", [nn.Flatten(), nn.Sequential(nn.Conv2d(1, 4, 1), nn.Flatten())])
def test_a_network_without_kernels_to_transpose_is_refused(problem: UnlearningProblem, first: nn.Module) -> None:
    width = 64 if isinstance(first, nn.Flatten) else 256
    module = nn.Sequential(first, nn.Linear(width, 8), nn.ReLU(), nn.Linear(8, 10))
    network = External(module, lambda: module, example=torch.zeros(2, 1, 8, 8), classes=10)
    with pytest.raises(OptionError, match="this network has no square kernel larger than 1×1"):
        ct(replace(problem, original=network))
