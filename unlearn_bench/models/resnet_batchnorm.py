"""ResNet-18 for small images with BatchNorm, as most code for CIFAR trains it."""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unlearn_bench.models import Classifier, draw_convolutions, model
from unlearn_bench.models.resnet import Conv3x3


class BatchNorm(nn.BatchNorm2d):
    """BatchNorm that takes its running statistics where a batch has one value per channel, which has no variance."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns (N, C, H, W)."""
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(x)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut; the names are torchvision's."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = Conv3x3(inputs, outputs, stride), BatchNorm(outputs)
        self.conv2, self.bn2 = Conv3x3(outputs, outputs), BatchNorm(outputs)
        self.downsample = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), BatchNorm(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Returns (N, outputs, H / stride, W / stride)."""
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.downsample(x))


class BatchNormResNet(Classifier):
    """Four stages of two blocks. Every stage except the first halves the image and doubles the channels."""

    def __init__(self, channels: int, classes: int, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = Conv3x3(channels, width), BatchNorm(width)
        self.layer1 = self._stage(width, width, 1)
        self.layer2 = self._stage(width, 2 * width, 2)
        self.layer3 = self._stage(2 * width, 4 * width, 2)
        self.layer4 = self._stage(4 * width, 8 * width, 2)
        self.head = nn.Linear(8 * width, classes)
        self.initialise(self)

    @staticmethod
    def initialise(part: nn.Module) -> None:
        """Draws new convolutions, see :func:`unlearn_bench.models.draw_convolutions`."""
        draw_convolutions(part)

    @property
    def last_stage(self) -> nn.Module:
        """The fourth stage."""
        return self.layer4

    @staticmethod
    def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
        return nn.Sequential(BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs, 1))

    def features(self, x: Tensor) -> Tensor:
        """Returns (N, 8 · width): the output of the last stage, averaged over the image."""
        out = F.relu(self.bn1(self.conv1(x)))
        return self.layer4(self.layer3(self.layer2(self.layer1(out)))).mean(dim=(2, 3))


@model(label="ResNet-18 with BatchNorm", source="He et al. 2016")
def resnet18_bn(
    channels: int,
    classes: int,
    *,
    width: Annotated[int, Field(ge=1, le=1024, description="channels of the first stage; 64 in the paper")] = 64,
) -> Classifier:
    """ResNet-18 with a 3×3 stem and no pooling before the stages, as is usual for images of 32×32 pixels.

    It computes what the ResNet-18 of most code for CIFAR computes, so that audits can read weights of such code.

    Args:
        channels: of the images.
        classes: K.
        width: channels of the first stage.
    """
    return BatchNormResNet(channels, classes, width)
