"""ResNet-18 for small images with BatchNorm, as most code for CIFAR trains it."""

from __future__ import annotations

from typing import Annotated

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unlearn_bench.models import Classifier, model
from unlearn_bench.models.resnet import Norm, ResNet


class BatchNorm(nn.BatchNorm2d):
    """BatchNorm that takes its running statistics where a batch has one value per channel, which has no variance."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns (N, C, H, W)."""
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(x)


TORCHVISION = Norm(BatchNorm, ("bn1", "bn2", "downsample"))  # the names in its files of weights


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
    return ResNet(channels, classes, width, TORCHVISION)
