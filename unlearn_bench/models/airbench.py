"""A convolutional network that trains fast: a whitening layer and three groups of two convolutions, no shortcuts."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unlearn_bench.core.errors import OptionError
from unlearn_bench.models import Classifier, draw_convolutions, model
from unlearn_bench.models.resnet import Conv3x3

SIDE = 2  # pixels of a whitened patch, in each direction
EPSILON = 5e-4  # added to each eigenvalue, so that directions without variance are not amplified
CHUNK = 256  # images whose patches are in memory at once
SCALE = 1 / 9  # of the features: with 256 positive maxima as input, the head would diverge at the recipe's rates

Norm = Literal["group", "batch"]
Layout = Literal["channels_last", "contiguous"]


def whitening_filters(x: Tensor) -> Tensor:
    """Returns filters that whiten the 2×2 patches of images, and the same filters with opposite sign.

    Filter k is v_k / sqrt(λ_k + ε), with the eigenvectors v and eigenvalues λ of the patches' covariance, in ascending
    order of λ; the first entry of each v is not negative. The outputs of the first 4C filters have the covariance
    diag(λ / (λ + ε)). Eigenvectors are computed on the CPU in float64.

    Args:
        x: (N, C, H, W) float, at least 2 pixels wide and high.

    Returns:
        (8C, C, 2, 2) float32, on the device of ``x``.

    Source: Jordan 2024, section 3.1 (arXiv 2404.00498).
    """
    size = x.shape[1] * SIDE * SIDE
    total = torch.zeros(size, dtype=torch.float64, device=x.device)
    moment = torch.zeros(size, size, dtype=torch.float64, device=x.device)
    count = 0
    for images in x.split(CHUNK):
        patches = F.unfold(images.double(), SIDE).transpose(0, 1).flatten(1)  # (4C, n · (H − 1) · (W − 1))
        total += patches.sum(dim=1)
        moment += patches @ patches.T
        count += patches.shape[1]
    mean = total / count
    values, vectors = torch.linalg.eigh((moment / count - mean.outer(mean)).cpu())
    vectors = vectors * torch.where(vectors[0] < 0, -1.0, 1.0)  # the sign of an eigenvector depends on the library
    filters = (vectors / (values.clamp(min=0) + EPSILON).sqrt()).T.reshape(size, x.shape[1], SIDE, SIDE)
    return torch.cat([filters, -filters]).to(x.device, torch.float32)


class Whitening(nn.Module):
    """A 2×2 convolution that optimizers do not train: its filters are a buffer, stored with the weights.

    Until the filters are computed from images (see :meth:`Classifier.prepare`), the outputs are the pixels of each
    patch and their negatives.
    """

    weight: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        pixels = torch.eye(channels * SIDE * SIDE).view(-1, channels, SIDE, SIDE)
        self.register_buffer("weight", torch.cat([pixels, -pixels]))

    def forward(self, x: Tensor) -> Tensor:
        """Returns (N, 8C, H − 1, W − 1)."""
        return F.conv2d(x, self.weight)


class Group(nn.Module):
    """Two 3×3 convolutions, each followed by normalisation and GELU; max pooling follows the first."""

    def __init__(self, inputs: int, outputs: int, norm: Norm, group_size: int) -> None:
        super().__init__()
        self.conv1 = Conv3x3(inputs, outputs)
        self.norm1 = _normalisation(outputs, norm, group_size)
        self.conv2 = Conv3x3(outputs, outputs)
        self.norm2 = _normalisation(outputs, norm, group_size)

    def forward(self, x: Tensor) -> Tensor:
        """Returns (N, outputs, ⌊H / 2⌋, ⌊W / 2⌋); a side of one pixel remains one pixel."""
        height, width = x.shape[2:]
        pooled = F.max_pool2d(self.conv1(x), (min(2, height), min(2, width)))
        out = F.gelu(self.norm1(pooled))
        return F.gelu(self.norm2(self.conv2(out)))


class Airbench(Classifier):
    """Whitening, three groups, and the maximum of each channel over the image."""

    def __init__(self, channels: int, classes: int, width: int, deep_width: int, norm: Norm, group_size: int) -> None:
        super().__init__()
        self.whitening = Whitening(channels)
        self.group1 = Group(2 * channels * SIDE * SIDE, width, norm, group_size)
        self.group2 = Group(width, deep_width, norm, group_size)
        self.group3 = Group(deep_width, deep_width, norm, group_size)
        self.head = nn.Linear(deep_width, classes)
        self.initialise(self)

    @staticmethod
    def initialise(part: nn.Module) -> None:
        """Draws new convolutions, see :func:`unlearn_bench.models.draw_convolutions`."""
        draw_convolutions(part)

    @property
    def last_stage(self) -> nn.Module:
        """The third group."""
        return self.group3

    def prepare(self, x: Tensor) -> None:
        """Computes the whitening filters from images, see :func:`whitening_filters`."""
        self.whitening.weight.copy_(whitening_filters(x))

    def features(self, x: Tensor) -> Tensor:
        """Returns (N, deep_width): the last group's maximum over the image, divided by nine."""
        out = F.gelu(self.whitening(x))
        return self.group3(self.group2(self.group1(out))).amax(dim=(2, 3)) * SCALE


@model(label="airbench network", source="Jordan 2024, arXiv 2404.00498")
def airbench(
    channels: int,
    classes: int,
    *,
    width: Annotated[int, Field(ge=1, le=1024, description="channels of the first group")] = 64,
    deep_width: Annotated[
        int, Field(ge=1, le=4096, description="channels of the second and third group, and number of features")
    ] = 256,
    norm: Annotated[Norm, Field(description="normalisation after each convolution")] = "group",
    group_size: Annotated[
        int, Field(ge=1, le=4096, description="channels of a group of GroupNorm; must divide both widths")
    ] = 16,
    layout: Annotated[
        Layout, Field(description="memory layout of weights and activations; changes speed and the last digits only")
    ] = "channels_last",
) -> Classifier:
    """The network of "94% on CIFAR-10 in 3.29 seconds on a single GPU", with GroupNorm or BatchNorm.

    On images of 32×32 pixels it needs a fifth of the operations of ResNet-18 at width 64. Images have at least 8×8
    pixels. Deviations from the paper: GroupNorm is the default, as in the benchmark's paper; every normalisation has a
    scale and a shift; convolutions start from He et al. 2015 (normal, fan out) instead of identities, so that a redrawn
    part (EU-k) differs from the original; the whitening has no bias; the features are scaled by 1/9 instead of the
    logits; the head has a bias.

    Args:
        channels: of the images.
        classes: K.
        width: channels of the first group.
        deep_width: channels of the other two groups, d.
        norm: ``group`` or ``batch``. In training, ``batch`` fails on a single image that groups reduce to one pixel.
        group_size: channels of a group of GroupNorm; no effect on ``batch``.
        layout: of weights and activations in memory. ``channels_last`` is faster for this network on every processor
            measured (``benchmarks/layouts.py``); values differ by rounding.

    Raises:
        OptionError: ``group_size`` does not divide a width.
    """
    if norm == "group" and (width % group_size or deep_width % group_size):
        raise OptionError(
            f"Option 'group_size' of the model 'airbench' is {group_size}, expected a divisor of width and deep_width, "
            f"which are {width} and {deep_width}."
        )
    network = Airbench(channels, classes, width, deep_width, norm, group_size)
    # convolutions and poolings follow the layout of the weights, whatever the layout of the images
    return network.to(memory_format=getattr(torch, layout if layout == "channels_last" else "contiguous_format"))


def _normalisation(channels: int, norm: Norm, group_size: int) -> nn.Module:
    return nn.GroupNorm(channels // group_size, channels) if norm == "group" else nn.BatchNorm2d(channels)
