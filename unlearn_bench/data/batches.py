"""Mini-batches without a loader: the images stay on the device as uint8; shuffling, crops and normalisation are there.

Random numbers come from a CPU generator of a given seed, so that a GPU sees the same images in the same order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearn_bench.data import Images

PADDING = 4  # pixels on each side for the random crop, as in the usual recipe for CIFAR


class Normalise:
    """uint8 pixels to normalised floats: (x / 255 − mean) / std per channel."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        """``mean`` and ``std``: one number a channel, of pixels scaled to [0, 1]."""
        self.mean = torch.tensor(mean).view(1, -1, 1, 1)
        self.std = torch.tensor(std).view(1, -1, 1, 1)

    def __call__(self, pixels: Tensor) -> Tensor:
        """Returns (N, C, H, W) float32 from (N, C, H, W) uint8."""
        self.mean, self.std = self.mean.to(pixels.device), self.std.to(pixels.device)
        return (pixels.float() / 255 - self.mean) / self.std


class Batches:
    """Shuffled mini-batches, epoch after epoch: each iteration is one epoch, the last batch may be smaller.

    Args:
        images: on the device of the model.
        batch_size: at least 1.
        seed: of the order and of the augmentation; the second epoch goes on where the first ended.
        normalise: applied last.
        augment: ``none`` or ``crop_flip``.
        drawn: told how many images each batch takes.
        augmented: told of each batch's pixels before augmentation and of the inputs made of them, where there is any.
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
    ) -> None:
        self.images = images
        self.batch_size = batch_size
        self.normalise = normalise
        self.augment = augment
        self.drawn = drawn
        self.augmented = augmented
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return math.ceil(len(self.images) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields (inputs (B, C, H, W) float32, labels (B,) int64)."""
        order = torch.randperm(len(self.images), generator=self.generator)
        for index in order.split(self.batch_size):
            batch = self.images[index]
            pixels = crop_flip(batch.pixels, self.generator) if self.augment == "crop_flip" else batch.pixels
            self.drawn(len(batch))
            x = self.normalise(pixels)
            if self.augmented is not None and self.augment != "none":
                self.augmented(batch.pixels, x)
            yield x, batch.labels


def crop_flip(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Returns each image cropped at random from its zero-padded self and mirrored with probability one half.

    Args:
        pixels: (N, C, H, W) uint8.
        generator: on the CPU.

    Returns:
        (N, C, H, W) uint8.
    """
    n, channels, height, width = pixels.shape
    device = pixels.device
    top = torch.randint(0, 2 * PADDING + 1, (n, 1), generator=generator).to(device)
    left = torch.randint(0, 2 * PADDING + 1, (n, 1), generator=generator).to(device)
    mirrored = torch.rand((n, 1), generator=generator).to(device) < 0.5
    rows = top + torch.arange(height, device=device)  # (n, H)
    columns = torch.arange(width, device=device).expand(n, width)
    columns = left + torch.where(mirrored, width - 1 - columns, columns)  # (n, W)
    padded = F.pad(pixels, (PADDING,) * 4)
    image = torch.arange(n, device=device).view(n, 1, 1, 1)
    channel = torch.arange(channels, device=device).view(1, channels, 1, 1)
    return padded[image, channel, rows.view(n, 1, height, 1), columns.view(n, 1, 1, width)]
