"""The user's networks: torchvision's ResNet-18 with a small first layer, and a small Vision Transformer of timm."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn
from torchvision.models import resnet18

CLASSES = 10
VIT: dict[str, Any] = {"img_size": 32, "patch_size": 4, "embed_dim": 96, "depth": 4, "num_heads": 3}
# mean and deviation as the user's transforms have them: the usual ones of CIFAR-10, and timm's of this ViT
NORMALISATION = {
    "resnet": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "vit": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


def resnet() -> nn.Module:
    """Returns ResNet-18 with a first layer of 3×3 for images of 32 pixels."""
    network = resnet18(num_classes=CLASSES)
    network.conv1 = nn.Conv2d(3, 64, 3, stride=2, padding=1, bias=False)
    return network


def vit() -> nn.Module:
    """Returns a Vision Transformer of four blocks for images of 32 pixels."""
    network: nn.Module = timm.create_model("vit_tiny_patch16_224", num_classes=CLASSES, **VIT)
    return network


def resnet_from_pixels() -> nn.Module:
    """Returns the ResNet-18 with the user's normalisation before it, for a program that gives pixels from 0 to 1.

    A hook adds no weights, so the names in the file stay the same.
    """
    network = resnet()
    mean, std = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in NORMALISATION["resnet"])

    def normalise(_network: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
        return ((inputs[0] - mean.to(inputs[0].device)) / std.to(inputs[0].device),)

    network.register_forward_pre_hook(normalise)
    return network


NETWORKS = {"resnet": resnet, "vit": vit}
