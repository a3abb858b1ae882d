"""Images in memory: data sets, what readers return, and the split of a data set by a forget set.

A reader (one file each beside this one) returns :class:`Splits` as it finds them; ``loading`` makes a :class:`Dataset`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unlearn_bench.progress import Progress, silent
from unlearn_bench.registry import Entry, Registry

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Images:
    """Images with their labels.

    Attributes:
        pixels: (N, C, H, W) uint8.
        labels: (N,) int64, on the device of ``pixels``.
        fine: (N,) int64, finer labels within ``labels`` where a data set has them, likewise.
    """

    pixels: Tensor
    labels: Tensor
    fine: Tensor | None = None

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    def __getitem__(self, index: Tensor) -> Images:
        """Returns the images at ``index``, (M,) int64 positions or (N,) bool."""
        index = index.to(self.labels.device)
        return Images(self.pixels[index], self.labels[index], None if self.fine is None else self.fine[index])

    def to(self, device: torch.device | str) -> Images:
        """Returns the images on ``device``."""
        fine = None if self.fine is None else self.fine.to(device)
        return Images(self.pixels.to(device), self.labels.to(device), fine)

    @property
    def digests(self) -> list[str]:
        """SHA-256 of each image with its label."""
        pixels = self.pixels.cpu().contiguous().numpy()
        labels = self.labels.cpu().numpy().astype("<i8")
        return [
            hashlib.sha256(label.tobytes() + image.tobytes()).hexdigest()
            for label, image in zip(labels, pixels, strict=True)
        ]


@dataclass(frozen=True)
class Dataset:
    """A data set in canonical order.

    Attributes:
        name: as it stands in the record.
        train, test: the two splits.
        test_images: their number, of which :meth:`without_test` leaves none.
        classes: names of the classes, by label.
        fine_classes: names of the finer classes, where the images have finer labels.
        digest: content hash of both splits: shape, pixels and labels; names and sources do not enter.
        mean, std: per channel over the training pixels scaled to [0, 1], for normalisation. They come from all of D,
            the forget set included, for every model alike, so that one normalisation serves original and retrained.
        places: the files or folders that it was read from, where it has some of its own.
    """

    name: str
    train: Images
    test: Images
    classes: tuple[str, ...]
    digest: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fine_classes: tuple[str, ...] = ()
    test_images: int = 0
    places: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        """Number of colour channels."""
        return int(self.train.pixels.shape[1])

    def without_test(self) -> Dataset:
        """Returns the data set with an empty test split, for work that must not read it."""
        return replace(self, test=self.test[torch.zeros(0, dtype=torch.int64)])

    def to(self, device: torch.device | str) -> Dataset:
        """Returns the data set on ``device``."""
        return replace(self, train=self.train.to(device), test=self.test.to(device))


@dataclass(frozen=True)
class Splits:
    """What a reader found.

    Attributes:
        train_pixels, test_pixels: (N, C, H, W) uint8.
        train_labels, test_labels: (N,) int64.
        classes: names of the classes, by label.
        train_fine, test_fine: (N,) int64, finer labels, where there are some.
        fine_classes: names of the finer classes.
    """

    train_pixels: Pixels
    train_labels: Labels
    test_pixels: Pixels
    test_labels: Labels
    classes: tuple[str, ...]
    train_fine: Labels | None = None
    test_fine: Labels | None = None
    fine_classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ForgetSplit:
    """A data set divided by a forget set.

    Attributes:
        name: the one spelling of the forget set in the record, however the user spelled it.
        forget: (M,) int64, sorted positions of D_f in the training split.
        test_forget: (N_test,) bool, the test images that belong with D_f.
        test_retain: likewise, with D_r.
        classes: the labels forgotten as a whole; empty where the forget set is no class.
        train: D, the training images; of a backdoor the poisoned ones among them.
        triggered: of a backdoor, the test images with the trigger, under their true labels.
        target: of a backdoor, the label that the trigger stands for.
        earlier: (L,) int64, of a sequence of requests the positions in ``forget`` that earlier ones asked for.
    """

    name: str
    forget: Tensor
    test_forget: Tensor
    test_retain: Tensor
    classes: tuple[int, ...]
    train: Images
    triggered: Images | None = None
    target: int | None = None
    earlier: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))

    @property
    def is_forget(self) -> Tensor:
        """(N,) bool, on the CPU: whether each training image is in D_f."""
        members = torch.zeros(len(self.train), dtype=torch.bool)
        members[self.forget] = True
        return members

    @property
    def request(self) -> Tensor:
        """(M − L,) int64, sorted positions of what is asked for now: all of ``forget`` but of a sequence."""
        return self.forget[~torch.isin(self.forget, self.earlier)]

    @property
    def digest(self) -> str:
        """SHA-256 of the sorted positions, 64-bit little-endian, and of images that the setting changed or added."""
        content = hashlib.sha256(self.forget.numpy().astype("<i8").tobytes())
        if self.triggered is not None:
            for images in (self.train[self.forget], self.triggered):
                content.update("".join(images.digests).encode())
        return content.hexdigest()


@dataclass(frozen=True)
class Location:
    """Where a reader looks.

    Attributes:
        folder: the folder of all data sets (``--data``).
        path: the part after the colon of ``folder:PATH``, empty otherwise.
        download: whether the user asked for a download.
        progress: told about decoding.
    """

    folder: Path
    path: str = ""
    download: bool = False
    progress: Progress = silent


@dataclass(frozen=True)
class DatasetReader(Entry):
    """A reader with the files that it would read; a data set without files is not cached.

    Attributes:
        is_official: whether its splits are as published, which may share images: the test's copies are then left out.
            Who brings a folder is told of it instead.
    """

    files: Callable[[Location], list[Path]] | None = None
    is_official: bool = True


datasets: Registry[DatasetReader] = Registry("dataset", __name__)


def dataset(
    *, label: str, source: str, files: Callable[[Location], list[Path]] | None = None, is_official: bool = True
) -> Callable[[Callable[[Location], Splits]], Callable[[Location], Splits]]:
    """Registers a reader under its function's name: a function from a location to :class:`Splits`."""

    def register(function: Callable[[Location], Splits]) -> Callable[[Location], Splits]:
        datasets.add(DatasetReader(function.__name__, label, source, function, files, is_official))
        return function

    return register
