"""The ResNet-18 of most code for CIFAR, against torchvision's with the same changes."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from unlearn_bench.models import build
from unlearn_bench.models.weight_files import read_weights


@pytest.mark.parametrize("style", ["torchvision", "kuangliu"])
def test_weights_of_cifar_code_give_the_same_logits(tmp_path: Path, style: str) -> None:
    torch.manual_seed(0)
    reference = resnet18(num_classes=7)
    reference.conv1, reference.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    reference.train()(torch.randn(4, 3, 16, 16))  # other running statistics than those of a new network
    reference.eval()
    state = {f"module.{name}": value for name, value in reference.state_dict().items()}
    if style == "kuangliu":
        state = {name.replace("downsample", "shortcut").replace("fc.", "linear."): v for name, v in state.items()}
    torch.save({"net": state, "acc": 93.0, "epoch": 7}, tmp_path / "ckpt.pth")
    network = build({"name": "resnet18_bn"}, channels=3, classes=7, seed=0)
    read_weights(network, tmp_path / "ckpt.pth", "resnet18_bn")
    x = torch.randn(3, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(network(x), reference(x))


def test_one_image_of_one_pixel_can_be_trained_on() -> None:
    network = build({"name": "resnet18_bn", "width": 4}, channels=1, classes=3, seed=0).train()
    network(torch.randn(1, 1, 8, 8)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert network.last_stage is network.layer4
