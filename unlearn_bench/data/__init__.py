"""Images in memory: data sets in a canonical order with a content hash, and their split by a forget set.

A reader (one file each beside this one) returns :class:`Splits` as it finds them; :func:`load` puts the images in
canonical order, hashes, caches and thins them. The order is that of each image's hash, so neither the source nor its
file order changes the content hash or any number that follows.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unlearn_bench.errors import DataError
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
    """

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    def __getitem__(self, index: Tensor) -> Images:
        """Returns the images at ``index``, (M,) int64 positions or (N,) bool."""
        index = index.to(self.labels.device)
        return Images(self.pixels[index], self.labels[index])

    def to(self, device: torch.device | str) -> Images:
        """Returns the images on ``device``."""
        return Images(self.pixels.to(device), self.labels.to(device))

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
        classes: names of the classes, by label.
        digest: content hash of both splits: shape, pixels and labels; names and sources do not enter.
        mean, std: per channel over the training pixels scaled to [0, 1], for normalisation. They come from all of D,
            the forget set included, for every model alike, so that one normalisation serves original and retrained.
    """

    name: str
    train: Images
    test: Images
    classes: tuple[str, ...]
    digest: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

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
    """

    train_pixels: Pixels
    train_labels: Labels
    test_pixels: Pixels
    test_labels: Labels
    classes: tuple[str, ...]


@dataclass(frozen=True)
class ForgetSplit:
    """A data set divided by a forget set.

    Attributes:
        name: the one spelling of the forget set in the record, however the user spelled it.
        forget: (M,) int64, sorted positions of D_f in the training split.
        test_forget: (N_test,) bool, the test images that belong with D_f.
        classes: the labels forgotten as a whole; empty where the forget set is no class.
    """

    name: str
    forget: Tensor
    test_forget: Tensor
    classes: tuple[int, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the sorted positions, 64-bit little-endian."""
        return hashlib.sha256(self.forget.numpy().astype("<i8").tobytes()).hexdigest()


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
    """A reader with the files that it would read; a data set without files is not cached."""

    files: Callable[[Location], list[Path]] | None = None


datasets: Registry[DatasetReader] = Registry("dataset", __name__)


def dataset(
    *, label: str, source: str, files: Callable[[Location], list[Path]] | None = None
) -> Callable[[Callable[[Location], Splits]], Callable[[Location], Splits]]:
    """Registers a reader under its function's name: a function from a location to :class:`Splits`."""

    def register(function: Callable[[Location], Splits]) -> Callable[[Location], Splits]:
        datasets.add(DatasetReader(function.__name__, label, source, function, files))
        return function

    return register


def load(
    name: str,
    *,
    folder: Path,
    train_per_class: int | None = None,
    test_per_class: int | None = None,
    download: bool = False,
    progress: Progress = silent,
) -> Dataset:
    """Returns the data set of that name in canonical order, thinned to the first images of each class if asked.

    Args:
        name: ``digits``, ``cifar10``, ``folder:PATH``.
        folder: where data sets lie, each source in its own layout (see the readers).
        train_per_class, test_per_class: images of each class to keep. The canonical order is that of hashes, so the
            first ones are as good as a random choice, and the same on every machine.
        download: whether a reader may fetch what is missing.
        progress: told about long work.

    Raises:
        UnknownNameError: no such data set.
        DataError: images missing or unreadable, too few of a class, or the same image in both splits.
    """
    from unlearn_bench.data.cache import cached

    kind, _, path = name.partition(":")
    reader = datasets.get(kind)
    found = cached(reader, Location(folder, path, download, progress))
    train = _thin(Images(*_tensors(found.train_pixels, found.train_labels)), train_per_class, found.classes, "training")
    test = _thin(Images(*_tensors(found.test_pixels, found.test_labels)), test_per_class, found.classes, "test")
    scaled = train.pixels.float().div_(255)
    return Dataset(
        name=f"{kind}:{Path(path).expanduser().resolve().name}" if path else kind,
        train=train,
        test=test,
        classes=found.classes,
        digest=_digest(train, test),
        mean=tuple(scaled.mean(dim=(0, 2, 3)).tolist()),
        # a channel without contrast is left as it is rather than divided by zero
        std=tuple(s if s > 0 else 1.0 for s in scaled.std(dim=(0, 2, 3)).tolist()),
    )


def canonical(splits: Splits) -> Splits:
    """Returns the splits with their images in order of their hashes.

    Raises:
        DataError: an image with its label is in both splits; a test on seen images measures nothing.
    """
    train = Images(*_tensors(splits.train_pixels, splits.train_labels))
    test = Images(*_tensors(splits.test_pixels, splits.test_labels))
    train_digests, test_digests = train.digests, test.digests
    shared = set(train_digests) & set(test_digests)
    if shared:
        raise DataError(
            f"{len(shared)} images with their labels are in both the training and the test split. Remove them from one."
        )
    train_order, test_order = np.argsort(train_digests), np.argsort(test_digests)
    return Splits(
        splits.train_pixels[train_order],
        splits.train_labels[train_order],
        splits.test_pixels[test_order],
        splits.test_labels[test_order],
        splits.classes,
    )


def split_by_hash(pixels: Pixels, labels: Labels, classes: tuple[str, ...], test_share: float = 0.2) -> Splits:
    """Returns a stratified split: of each class the images with the smallest hashes are the test images.

    Args:
        pixels: (N, C, H, W) uint8; images that occur twice with one label are kept once, or the splits would overlap.
        labels: (N,) int64.
        classes: names of the classes.
        test_share: share of each class, rounded to the nearest image, at least one.
    """
    digests = np.array(Images(*_tensors(pixels, labels)).digests)
    _, order = np.unique(digests, return_index=True)  # sorted by hash, without repeats
    test: list[int] = []
    for label in range(len(classes)):
        members = order[labels[order] == label]
        test.extend(members[: max(1, round(test_share * len(members)))].tolist())
    is_test = np.zeros(len(labels), dtype=bool)
    is_test[test] = True
    train = order[~is_test[order]]
    chosen = order[is_test[order]]
    return Splits(pixels[train], labels[train], pixels[chosen], labels[chosen], classes)


def data_folder(home: Path, given: Path | None = None) -> Path:
    """Returns where data sets lie: the given folder, else UNLEARN_BENCH_DATA, else ``data/`` beside benchmarks.yaml."""
    return given or Path(os.environ.get("UNLEARN_BENCH_DATA") or home / "data")


def _tensors(pixels: Pixels, labels: Labels) -> tuple[Tensor, Tensor]:
    # torch shares the memory, and wants it writable
    return tuple(torch.from_numpy(np.require(array, requirements=["C", "W"])) for array in (pixels, labels))  # type: ignore[return-value]


def _thin(images: Images, per_class: int | None, classes: tuple[str, ...], split: str) -> Images:
    counts = torch.bincount(images.labels, minlength=len(classes))
    needed = per_class or 1
    for label, count in enumerate(counts.tolist()):
        if count < needed:
            raise DataError(
                f"Class '{classes[label]}' has {count} {split} images, expected at least {needed}. "
                "Add images, or ask for fewer under `subset` in benchmarks.yaml."
            )
    if per_class is None:
        return images
    keep = [torch.nonzero(images.labels == label)[:per_class, 0] for label in range(len(classes))]
    return images[torch.cat(keep).sort().values]


def _digest(train: Images, test: Images) -> str:
    content: Any = hashlib.sha256()
    for images in (train, test):
        content.update(repr(tuple(images.pixels.shape)).encode())
        content.update("".join(images.digests).encode())
    return str(content.hexdigest())
