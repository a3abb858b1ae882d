"""What a network needs of its inputs: the number of channels, the size and the normalisation of the pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from unlearn_bench.core.errors import OptionError, unknown_name
from unlearn_bench.core.sources import LARGEST_SIZE
from unlearn_bench.models import Statistics
from unlearn_bench.models.weight_fit import normalisation_names

IMAGENET: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
NORMALISATIONS = ("auto", "dataset", "imagenet", "none")
LIBRARIES = ("torchvision:", "timm:")  # their networks take three channels, unless an argument says otherwise


@dataclass(frozen=True)
class Choices:
    """What a user can say about a network of any origin.

    Attributes:
        size: side in pixels to which inputs are resized, bilinear with antialiasing; None for no resizing.
        normalise: one of :data:`NORMALISATIONS`; ``auto`` is the architecture's own numbers, or none for a network that
            normalises its inputs itself, else the data set's.
        features: name of the module whose outputs are the features; None for the input of the head.
        last_stage: names of the modules of the last stage, separated by commas; empty to find them.

    Raises:
        OptionError, UnknownNameError: a value is out of range.
    """

    size: int | None = None
    normalise: str = "auto"
    features: str | None = None
    last_stage: str = ""

    def __post_init__(self) -> None:
        """Checks the values."""
        if self.size is not None and not (isinstance(self.size, int) and 1 <= self.size <= LARGEST_SIZE):
            raise OptionError(f"The side of the network's inputs is {self.size}, expected 1 to {LARGEST_SIZE} pixels.")
        if self.normalise not in NORMALISATIONS:
            raise unknown_name("normalisation", str(self.normalise), NORMALISATIONS)


def input_channels(module: nn.Module) -> int | None:
    """Returns the channels of the images that a network takes, 1 or 3, by its first convolution; None if unknown."""
    first = next((part.in_channels for part in module.modules() if isinstance(part, nn.Conv2d)), None)
    return first if first in (1, 3) else None


def channels_for(module: nn.Module, name: str, channels: int) -> int:
    """Returns the number of channels of a network's inputs: three where grey images are repeated, else the images'.

    Args:
        module: the network.
        name: of the architecture, such as ``timm:NAME``; empty for a network in memory.
        channels: of the images.
    """
    if channels > 1:
        return channels
    return input_channels(module) or (3 if name.startswith(LIBRARIES) else channels)


def statistics_of(name: str, normalise: str, module: nn.Module, channels: int) -> Statistics | None:
    """Returns mean and standard deviation of pixels for a network, one number per channel; None for the data set's."""
    if normalise == "none" or (normalise == "auto" and normalises_itself(module)):
        return (0.0,) * channels, (1.0,) * channels
    if normalise == "auto" and name.startswith("timm:"):
        config = getattr(module, "pretrained_cfg", {})
        return for_channels((tuple(config["mean"]), tuple(config["std"])), channels)
    if normalise == "imagenet" or (normalise == "auto" and name.startswith("torchvision:")):
        return for_channels(IMAGENET, channels)
    return None


def for_channels(statistics: tuple[Sequence[float], Sequence[float]], channels: int) -> Statistics:
    """Returns mean and standard deviation for a number of channels: one number is repeated, several are averaged.

    >>> for_channels(((0.5,), (0.25,)), 3)
    ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    """
    mean, std = (
        (sum(values) / len(values),) if channels == 1 < len(values) else tuple(values) * (channels // len(values) or 1)
        for values in statistics
    )
    return mean, std


def normalises_itself(module: nn.Module) -> bool:
    """Returns whether a network contains the normalisation of its inputs, as a layer or as buffers."""
    layers = any(
        "normal" in type(part).__name__.lower() and hasattr(part, "mean") and hasattr(part, "std")
        for part in module.modules()
    )
    return layers or bool(normalisation_names(module.state_dict()))


def resized(x: Tensor, size: int | None) -> Tensor:
    """Returns inputs (N, C, H, W) at ``size`` × ``size`` pixels, bilinear with antialiasing; None keeps their size."""
    if size is None or x.shape[2:] == (size, size):
        return x
    return interpolate(x, size=(size, size), mode="bilinear", antialias=True)


def example_inputs(shape: Sequence[int], device: torch.device | None = None) -> Tensor:
    """Returns inputs of a shape, (N, C, H, W) float from −2 to 2, for a pass that shows what a network does.

    No value is constant over an image, so a network that normalises each image returns finite numbers.
    """
    return torch.linspace(-2, 2, torch.Size(shape).numel(), device=device).reshape(*shape)
