"""Squared per-sample gradients against a loop over samples and classes in float64, for every kind of layer."""

import copy

import pytest
import torch
from torch import Tensor, nn

from unlearn_bench.models import Classifier
from unlearn_bench.training.curvature import squared_gradients


class Network(Classifier):
    """Any layers between an image of 2×6×6 and a head."""

    def __init__(self, *layers: nn.Module, width: int = 4, bias: bool = True) -> None:
        super().__init__()
        self.stage = nn.Sequential(*layers)
        self.head = nn.Linear(width, 3, bias=bias)

    @property
    def last_stage(self) -> nn.Module:
        return self.stage

    def features(self, x: Tensor) -> Tensor:
        out = self.stage(x)
        return out.mean(dim=tuple(range(2, out.dim()))) if out.dim() > 2 else out


class Twice(nn.Module):
    """One convolution, used twice: a parameter's gradient is the sum of both."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.conv(x).relu())


class Scaled(nn.Module):
    """A parameter of its own, which no known layer holds."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(2, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x


NETWORKS = {
    "plain": lambda: Network(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.ReLU()),
    "in place": lambda: Network(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True)),
    "one pixel": lambda: Network(nn.Conv2d(2, 4, 6, bias=False), nn.ReLU(), nn.Conv2d(4, 4, 1)),
    "stride, dilation, groups": lambda: Network(nn.Conv2d(2, 4, 3, 2, 2, dilation=2, groups=2), nn.Tanh()),
    "frozen statistics only": lambda: Network(nn.Conv2d(2, 4, 2), nn.BatchNorm2d(4, affine=False)),
    "layer norm": lambda: Network(nn.Conv2d(2, 4, 3), nn.LayerNorm([4, 4, 4]), nn.ReLU()),
    "linear on patches": lambda: Network(
        nn.Flatten(2), nn.Linear(36, 5), nn.ReLU(), nn.Flatten(1), width=10, bias=False
    ),
    "used twice": lambda: Network(Twice(), nn.Conv2d(2, 4, 3)),
    "own parameter": lambda: Network(Scaled(), nn.Conv2d(2, 4, 3)),
    "transposed": lambda: Network(nn.ConvTranspose2d(2, 4, 2)),
}


def naive(network: Network, x: Tensor, weights: Tensor) -> dict[str, Tensor]:
    network = copy.deepcopy(network).double()
    total = {name: torch.zeros_like(value) for name, value in network.named_parameters()}
    for image, weight in zip(x.double(), weights.double(), strict=True):
        for y in range(3):
            network.zero_grad()
            torch.log(torch.softmax(network(image[None])[0], 0))[y].backward()
            for name, value in network.named_parameters():
                total[name] += weight[y] * value.grad**2
    return total


@pytest.mark.parametrize("name", NETWORKS)
def test_squared_gradients_equal_the_loop(name: str) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    for module in network.modules():  # statistics and scales that are not the untrained ones
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.3 * torch.randn_like(value))
    x, weights = torch.randn(5, 2, 6, 6), torch.rand(5, 3)
    weights[0] = 0
    weights[1:, 2] = 0
    found = squared_gradients(network, x, weights.to)
    for part, expected in naive(network, x, weights).items():
        assert found[part].shape == expected.shape
        assert torch.allclose(found[part].double(), expected, rtol=1e-4, atol=1e-9), part


def test_a_sample_that_is_not_finite_is_seen() -> None:
    network = NETWORKS["plain"]().eval()
    x = torch.full((2, 2, 6, 6), torch.inf)
    assert not all(bool(value.isfinite().all()) for value in squared_gradients(network, x, lambda p: p).values())


def test_what_was_hooked_is_unhooked() -> None:
    network = NETWORKS["plain"]().eval()
    squared_gradients(network, torch.randn(2, 2, 6, 6), lambda p: p)
    assert not any(module._forward_hooks for module in network.modules())
