"""Images in memory: data sets, the splits that readers return, and the division of a data set by a forget set.

A reader (one file each in this folder) returns :class:`Splits` in any order; ``loading`` makes a :class:`Dataset`.
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

from unlearn_bench.core.progress import Progress, silent
from unlearn_bench.core.registry import Entry, Registry
from unlearn_bench.core.sources import AS_IT_IS, Reading

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
LEFT_OUT = -2  # the row of a training image that a profile's subset leaves out


@dataclass(frozen=True)
class Images:
    """Images with their labels.

    Attributes:
        pixels: (N, C, H, W) uint8.
        labels: (N,) int64, on the device of ``pixels``.
        fine: (N,) int64, finer labels within ``labels``, on the same device; None if the data set has none.
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
        name: the name in the database.
        train, test: the two splits.
        test_images: number of test images; :meth:`without_test` keeps this number.
        classes: names of the classes, by label.
        fine_classes: names of the finer classes, if the images have finer labels.
        digest: content hash of both splits: shape, pixels and labels, without names and sources.
        mean, std: per channel over the training pixels scaled to [0, 1], for normalisation. They are computed from all
            of D, including the forget set, so that original and retrained models share one normalisation.
        paths: the files or folders that the data set was read from; empty for a data set that comes with a package.
        source: where each image was in these files, to find listed images; None for images that were not loaded.
        retain: the images that D'_r is drawn from in place of D_r; None for D_r.
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
    paths: tuple[str, ...] = ()
    source: Source | None = None
    retain: Images | None = None

    @property
    def channels(self) -> int:
        """Number of colour channels."""
        return int(self.train.pixels.shape[1])

    @property
    def side(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.train.pixels.shape[2:]
        return height, width

    def grey(self) -> Dataset:
        """Returns the data set with colour images converted to one channel: 0.299 R + 0.587 G + 0.114 B, rounded."""
        if self.channels == 1:
            return self

        def converted(images: Images) -> Images:
            weights = torch.tensor([0.299, 0.587, 0.114], device=images.pixels.device).view(1, 3, 1, 1)
            pixels = (images.pixels.float() * weights).sum(dim=1, keepdim=True).round_().to(torch.uint8)
            return replace(images, pixels=pixels)

        train, test = converted(self.train), converted(self.test)
        std, mean = torch.std_mean(train.pixels.float() / 255)
        return replace(self, train=train, test=test, mean=(float(mean),), std=(float(std) or 1.0,))

    def without_test(self) -> Dataset:
        """Returns the data set with an empty test split, for code that must not read test images."""
        return replace(self, test=self.test[torch.zeros(0, dtype=torch.int64)])

    def to(self, device: torch.device | str) -> Dataset:
        """Returns the data set on ``device``."""
        retain = None if self.retain is None else self.retain.to(device)
        return replace(self, train=self.train.to(device), test=self.test.to(device), retain=retain)


@dataclass(frozen=True)
class Splits:
    """The training and the test split that a reader returns.

    Attributes:
        train_pixels, test_pixels: (N, C, H, W) uint8.
        train_labels, test_labels: (N,) int64.
        classes: names of the classes, by label.
        train_fine, test_fine: (N,) int64, finer labels; None if there are none.
        fine_classes: names of the finer classes.
        rows: (R,) int64, the position in the training split of each image in the order in which it was read, −1 for a
            test image; None if the training images are in that order.
    """

    train_pixels: Pixels
    train_labels: Labels
    test_pixels: Pixels
    test_labels: Labels
    classes: tuple[str, ...]
    train_fine: Labels | None = None
    test_fine: Labels | None = None
    fine_classes: tuple[str, ...] = ()
    rows: Labels | None = None


@dataclass(frozen=True)
class ForgetSplit:
    """A data set divided by a forget set.

    Attributes:
        name: the canonical spelling of the forget set, which the database stores.
        forget: (M,) int64, sorted positions of D_f in the training split.
        test_forget: (N_test,) bool, the test images that correspond to D_f.
        test_retain: (N_test,) bool, the test images that correspond to D_r.
        classes: the labels whose samples are all forgotten; empty if the forget set does not consist of whole classes.
        train: D, the training images; in the scenario ``backdoor`` they include the poisoned images.
        triggered: in the scenario ``backdoor``, the test images with the trigger and their true labels.
        target: in the scenario ``backdoor``, the label of poisoned images.
        earlier: (L,) int64, in a sequence of requests the positions in ``forget`` that earlier requests contain.
        has_counterpart: whether ``test_forget`` corresponds to D_f. If not, metrics read D_f itself in its place.
        retain: the images that D'_r is drawn from in place of D_r; None for D_r.
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
    has_counterpart: bool = True
    retain: Images | None = None

    @property
    def is_forget(self) -> Tensor:
        """(N,) bool, on the CPU: whether each training image is in D_f."""
        mask = torch.zeros(len(self.train), dtype=torch.bool)
        mask[self.forget] = True
        return mask

    @property
    def request(self) -> Tensor:
        """(M − L,) int64, sorted positions that the last request adds: ``forget`` without ``earlier``."""
        return self.forget[~torch.isin(self.forget, self.earlier)]

    @property
    def share(self) -> float:
        """The share of :attr:`request` in the images of D_r and of ``request`` together."""
        requested, retained = len(self.request), len(self.train) - len(self.forget)
        return requested / (requested + retained)

    @property
    def digest(self) -> str:
        """SHA-256 of the sorted positions, 64-bit little-endian, and of images that the scenario changed or added."""
        content = hashlib.sha256(self.forget.numpy().astype("<i8").tobytes())
        if self.triggered is not None:
            for images in (self.train[self.forget], self.triggered):
                content.update("".join(images.digests).encode())
        return content.hexdigest()


@dataclass(frozen=True)
class Location:
    """Where a reader searches for a data set.

    Attributes:
        folder: the folder of all data sets (``--data``).
        path: the part after the colon of ``folder:PATH``, empty otherwise.
        download: whether the reader may download missing files.
        progress: called while images are decoded.
        reading: how a user's own images are read.
    """

    folder: Path
    path: str = ""
    download: bool = False
    progress: Progress = silent
    reading: Reading = AS_IT_IS


@dataclass(frozen=True)
class Source:
    """Where each image of a data set was when it was read.

    Attributes:
        reader: name of the reader.
        folder, path, reading: as of the :class:`Location`.
        rows: (R,) int64, the position in the training split of each training image in the order of the reader. If the
            test split was made by hashes, all images have a row, which is −1 for a test image.
    """

    reader: str
    folder: Path
    path: str
    reading: Reading
    rows: Tensor

    def names(self) -> tuple[list[str], list[str]]:
        """Returns the names of the images that have a row, in order, and of the test images; empty without names."""
        reader = datasets.get(self.reader)
        return reader.names(Location(self.folder, self.path, reading=self.reading)) if reader.names else ([], [])


@dataclass(frozen=True)
class DatasetReader(Entry):
    """A registered reader.

    Attributes:
        files: returns the files that the reader would read; None for a data set without files, which is not cached.
        is_official: whether the splits are as published. Published splits may share images; the copies in the test
            split are then left out. Shared images in a user's own folder raise an error instead.
        reads_by: attributes of ``Location.reading`` that the reader applies, as readers of a user's own images do.
        names: returns the names of the training images in the order of the reader, and of the test images; all of them
            are training images if there is no test split. None if images have no names.
    """

    files: Callable[[Location], list[Path]] | None = None
    is_official: bool = True
    reads_by: tuple[str, ...] = ()
    names: Callable[[Location], tuple[list[str], list[str]]] | None = None


datasets: Registry[DatasetReader] = Registry("dataset", __name__)


def dataset(
    *,
    label: str,
    source: str,
    files: Callable[[Location], list[Path]] | None = None,
    is_official: bool = True,
    reads_by: tuple[str, ...] = (),
    names: Callable[[Location], tuple[list[str], list[str]]] | None = None,
    version: int = 1,
) -> Callable[[Callable[[Location], Splits]], Callable[[Location], Splits]]:
    """Registers a function from a :class:`Location` to :class:`Splits` as a reader under its own name.

    Increase ``version`` with every change that changes the images: cached images of another version are not read.
    """

    def register(function: Callable[[Location], Splits]) -> Callable[[Location], Splits]:
        name = function.__name__
        datasets.add(DatasetReader(name, label, source, function, files, is_official, reads_by, names, version=version))
        return function

    return register
