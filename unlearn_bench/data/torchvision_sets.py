"""Data sets of torchvision whose images have one size: MNIST, Fashion-MNIST, SVHN, STL-10."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from unlearn_bench.core.errors import DataError
from unlearn_bench.data import Labels, Location, Pixels, Splits, dataset

DIGITS = tuple(str(digit) for digit in range(10))
CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


IDX_FILES = tuple(f"{split}-{kind}-ubyte" for split in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))


@dataset(label="MNIST", source="LeCun et al. 1998; torchvision")
def mnist(location: Location) -> Splits:
    """Handwritten digits: 60,000 training and 10,000 test images of 28×28 grey pixels.

    The reader searches the four files as published (``train-images-idx3-ubyte.gz`` and others), packed or not, in
    ``MNIST/raw/`` (torchvision's layout), ``MNIST/`` and ``mnist/`` in the data folder.
    """
    return _published("MNIST", location, DIGITS) or _read("MNIST", location, DIGITS, by_split=False)


@dataset(label="Fashion-MNIST", source="Xiao et al. 2017; torchvision")
def fashion_mnist(location: Location) -> Splits:
    """Clothes: 60,000 training and 10,000 test images of 28×28 grey pixels.

    The reader searches the files that MNIST has too in ``FashionMNIST/raw/`` (torchvision's layout), ``FashionMNIST/``
    and ``fashion_mnist/`` in the data folder.
    """
    return _published("FashionMNIST", location, CLOTHES) or _read("FashionMNIST", location, CLOTHES, by_split=False)


@dataset(label="SVHN", source="Netzer et al. 2011; torchvision")
def svhn(location: Location) -> Splits:
    """House numbers: 73,257 training and 26,032 test images of 32×32 pixels, in torchvision's layout."""
    return _read("SVHN", location, DIGITS, by_split=True)


@dataset(label="STL-10", source="Coates et al. 2011; torchvision")
def stl10(location: Location) -> Splits:
    """Animals and vehicles: 5,000 training and 8,000 test images of 96×96 pixels, in torchvision's layout."""
    names = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
    return _read("STL10", location, names, by_split=True)


def _published(name: str, location: Location, classes: tuple[str, ...]) -> Splits | None:
    """Returns the splits from the four files of MNIST's format, packed by gzip or not; None if they are not there.

    Raises:
        DataError: some of the files are missing, or a file is damaged.
    """
    snake = {"MNIST": "mnist", "FashionMNIST": "fashion_mnist"}[name]
    for folder in (location.folder / name / "raw", location.folder / name, location.folder / snake):
        found = [_find(folder, part) for part in IDX_FILES]
        if lacking := [part for part, file in zip(IDX_FILES, found, strict=True) if file is None]:
            if len(lacking) < len(found) and not location.download:
                raise DataError(f"{folder} lacks {', '.join(lacking)} of {name}. Add the files, packed (.gz) or not.")
            continue
        arrays = [_idx(file) for file in found if file is not None]
        for file, images, labels in zip(found[::2], arrays[::2], arrays[1::2], strict=True):
            if images.ndim != 3 or labels.shape != images.shape[:1]:
                shapes = f"shapes {images.shape} and {labels.shape}"
                raise DataError(
                    f"{file} and its labels have the {shapes}, expected (N, H, W) and (N,). Fetch them again."
                )
        pixels, labels, test_pixels, test_labels = arrays
        return Splits(
            pixels[:, None], labels.astype(np.int64), test_pixels[:, None], test_labels.astype(np.int64), classes
        )
    return None


def _find(folder: Path, part: str) -> Path | None:
    """Returns one of the four files under any of its usual names."""
    names = [f"{stem}{ending}" for stem in (part, part.replace("-idx", ".idx")) for ending in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _idx(file: Path) -> Pixels:
    """Returns the array of bytes in a file of MNIST's format. Raises DataError if the file is damaged."""
    try:
        content = file.read_bytes()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        sides = np.frombuffer(content, dtype=">u4", count=content[3], offset=4)
        if content[:3] != b"\0\0\x08":
            raise ValueError("it is not in MNIST's format")
        return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * len(sides)).reshape(sides).copy()
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as problem:
        raise DataError(f"{file} cannot be read: {problem}. Fetch it again.") from None


def _read(name: str, location: Location, classes: tuple[str, ...], *, by_split: bool) -> Splits:
    """Returns the splits of a torchvision data set, from its ``data`` and its ``targets`` or ``labels``.

    Raises:
        DataError: the data set does not exist, or cannot be downloaded.
    """
    # imported here because it takes a second, which the other data sets do not need
    from torchvision import datasets as torchvision_datasets

    kind: Any = getattr(torchvision_datasets, name)

    def arrays(split: str) -> tuple[Pixels, Labels]:
        chosen = {"split": split} if by_split else {"train": split == "train"}
        try:
            loaded = kind(location.folder, **chosen, download=location.download)
        except (RuntimeError, OSError, ValueError, AssertionError, LookupError, TypeError) as problem:
            what = "could not be downloaded to" if location.download else "is not in"
            raise DataError(
                f"{name} {what} {location.folder}: {(str(problem) or 'damaged').splitlines()[0]} "
                "Give its folder with --data, or download it with --download."
            ) from None
        pixels = np.asarray(loaded.data, dtype=np.uint8)
        pixels = pixels[:, None] if pixels.ndim == 3 else pixels  # grey images are (N, H, W)
        return np.ascontiguousarray(pixels), np.asarray(
            getattr(loaded, "targets", None) if not by_split else loaded.labels, dtype=np.int64
        )

    (pixels, labels), (test_pixels, test_labels) = arrays("train"), arrays("test")
    return Splits(pixels, labels, test_pixels, test_labels, classes)
