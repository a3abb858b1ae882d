"""Mini-batches without a data loader: images stay on the device as uint8 and are shuffled, cropped, normalised there.

Random numbers come from a seeded CPU generator, so that a GPU sees the same images in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearn_bench.core.errors import OptionError
from unlearn_bench.data import Images

PADDING = 4  # pixels on each side for the random crop, as in the usual recipe for CIFAR

Fill = Literal["zeros", "reflect"]
Flip = Literal["random", "alternate"]


@dataclass(frozen=True)
class CropFlip:
    """How images are cropped and mirrored.

    Attributes:
        padding: pixels added on each side before a crop of the image's size is taken at random.
        fill: the added pixels: ``zeros``, or ``reflect`` for the image reflected at its edge without repeating the
            edge's pixels.
        flip: ``random``: each image is mirrored with probability one half, anew in every epoch. ``alternate``: a random
            half of the images is mirrored in the first, third, … epoch, the other half in the second, fourth, …
            (Jordan 2024, section 3.6).
    """

    padding: int = PADDING
    fill: Fill = "zeros"
    flip: Flip = "random"


class Normalise:
    """Converts uint8 pixels to normalised floats: (x / 255 − mean) / std per channel."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        """Takes ``mean`` and ``std``, one number per channel, of pixels scaled to [0, 1]."""
        self.mean = torch.tensor(mean).view(1, -1, 1, 1)
        self.std = torch.tensor(std).view(1, -1, 1, 1)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Returns (N, C, H, W) float32 from (N, C, H, W) uint8."""
        self.mean, self.std = self.mean.to(pixels.device), self.std.to(pixels.device)
        return (pixels.float() / 255 - self.mean) / self.std


class Batches:
    """Shuffled mini-batches. Each iteration is one epoch; its last batch may be smaller.

    Args:
        images: on the device of the model.
        batch_size: at least 1.
        seed: of the order and of the augmentation; the second epoch continues the random numbers of the first.
        normalise: applied last.
        augment: ``none`` or ``crop_flip``.
        drawn: called with the number of images of each batch.
        augmented: called with each augmented batch: its pixels before augmentation, and the inputs made from them.
        crop_flip: options of the augmentation ``crop_flip``.
    """

    def __init__(
        self,
        images: Images,
        *,
        batch_size: int,
        seed: int,
        normalise: Normalise,
        augment: str,
        drawn: Callable[[int], None],
        augmented: Callable[[Tensor, Tensor], None] | None = None,
        crop_flip: CropFlip = CropFlip(),
    ) -> None:
        self.images = images
        self.batch_size = batch_size
        self.normalise = normalise
        self.augment = augment
        self.drawn = drawn
        self.augmented = augmented
        self.crop_flip = crop_flip
        self.generator = torch.Generator().manual_seed(seed)
        self._mirrored: Tensor | None = None  # (N,) bool, of the latest epoch, if flips alternate
        self._order: Tensor | None = None  # (N,) int64, of the latest epoch
        self._drawn_batches = 0  # of the latest epoch
        self._continues = False  # whether the next iteration goes on with the latest epoch

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return math.ceil(len(self.images) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields (inputs (B, C, H, W) float32, labels (B,) int64)."""
        device = self.images.labels.device
        if self._order is None or not self._continues:
            if self.augment == "crop_flip" and self.crop_flip.flip == "alternate":
                self._next_mirrored()
            self._order, self._drawn_batches = torch.randperm(len(self.images), generator=self.generator), 0
        self._continues = False
        order, mirrored, begin = self._order, self._mirrored, self._drawn_batches
        for number, index in enumerate(order.split(self.batch_size)[begin:], begin + 1):
            self._drawn_batches = number
            batch = self.images[_to_device(index, device)]
            pixels = batch.pixels
            if self.augment == "crop_flip":
                mirrors = None if mirrored is None else mirrored[index]
                pixels = crop_flip(pixels, self.generator, self.crop_flip, mirrors)
            self.drawn(len(batch))
            x = self.normalise(pixels)
            if self.augmented is not None and self.augment != "none":
                self.augmented(batch.pixels, x)
            yield x, batch.labels

    def state(self) -> dict[str, Any]:
        """Returns the state after the batch that was drawn last: of the generator and of the latest epoch."""
        return {
            "generator": self.generator.get_state(),
            "order": self._order,
            "mirrored": self._mirrored,
            "drawn_batches": self._drawn_batches,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Makes the next iteration yield the batches that follow the one after which ``state`` was taken."""
        self.generator.set_state(state["generator"])
        self._order, self._mirrored = state["order"], state["mirrored"]
        self._drawn_batches, self._continues = state["drawn_batches"], True

    def _next_mirrored(self) -> None:
        """Chooses which images the next epoch mirrors: a random half first, then the other half, in turn."""
        if self._mirrored is None:
            self._mirrored = torch.rand(len(self.images), generator=self.generator) < 0.5
        else:
            self._mirrored = ~self._mirrored


def crop_flip(
    pixels: Tensor, generator: torch.Generator, options: CropFlip = CropFlip(), mirrored: Tensor | None = None
) -> Tensor:
    """Returns a random crop of each padded image, mirrored or not.

    Args:
        pixels: (N, C, H, W) uint8.
        generator: on the CPU.
        options: padding and fill.
        mirrored: (N,) bool on the CPU, the images to mirror; None to mirror each with probability one half.

    Returns:
        (N, C, H, W) uint8.

    Raises:
        OptionError: reflected padding that is as wide or as high as the image, or larger.
    """
    n, channels, height, width = pixels.shape
    padding, device = options.padding, pixels.device
    if options.fill == "reflect" and padding >= min(height, width):
        raise OptionError(
            f"Images of {height}×{width} pixels are too small for reflected padding of {padding} pixels. Set "
            f"crop_padding to less than {min(height, width)}."
        )
    top = _to_device(torch.randint(0, 2 * padding + 1, (n, 1), generator=generator), device)
    left = _to_device(torch.randint(0, 2 * padding + 1, (n, 1), generator=generator), device)
    if mirrored is None:
        mirrored = torch.rand(n, generator=generator) < 0.5
    rows = top + torch.arange(height, device=device)  # (n, H)
    columns = torch.arange(width, device=device).expand(n, width)
    columns = left + torch.where(_to_device(mirrored, device)[:, None], width - 1 - columns, columns)  # (n, W)
    if options.fill == "zeros":
        pixels = F.pad(pixels, (padding,) * 4)
    else:
        rows, columns = _reflected(rows - padding, height), _reflected(columns - padding, width)
    image = torch.arange(n, device=device).view(n, 1, 1, 1)
    channel = torch.arange(channels, device=device).view(1, channels, 1, 1)
    return pixels[image, channel, rows.view(n, 1, height, 1), columns.view(n, 1, 1, width)]


def _reflected(position: Tensor, size: int) -> Tensor:
    """Returns positions in an image of ``size`` pixels; positions outside are reflected at the first or last pixel."""
    return size - 1 - (size - 1 - position.abs()).abs()


def _to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Returns a CPU tensor on ``device`` without waiting: the driver copies the data before the call returns."""
    return tensor.to(device, non_blocking=True)
