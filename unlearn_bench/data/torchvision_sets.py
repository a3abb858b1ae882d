"""Data sets that torchvision offers in one shape for all images: MNIST, Fashion-MNIST, SVHN, STL-10."""

from __future__ import annotations

from typing import Any

import numpy as np

from unlearn_bench.data import Labels, Location, Pixels, Splits, dataset
from unlearn_bench.errors import DataError

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


@dataset(label="MNIST", source="LeCun et al. 1998; torchvision")
def mnist(location: Location) -> Splits:
    """Handwritten digits: 60,000 training and 10,000 test images of 28×28 grey pixels, torchvision's layout."""
    return _read("MNIST", location, DIGITS, by_split=False)


@dataset(label="Fashion-MNIST", source="Xiao et al. 2017; torchvision")
def fashion_mnist(location: Location) -> Splits:
    """Clothes: 60,000 training and 10,000 test images of 28×28 grey pixels, torchvision's layout."""
    return _read("FashionMNIST", location, CLOTHES, by_split=False)


@dataset(label="SVHN", source="Netzer et al. 2011; torchvision")
def svhn(location: Location) -> Splits:
    """House numbers: 73,257 training and 26,032 test images of 32×32 pixels, torchvision's layout."""
    return _read("SVHN", location, DIGITS, by_split=True)


@dataset(label="STL-10", source="Coates et al. 2011; torchvision")
def stl10(location: Location) -> Splits:
    """Ten kinds of things: 5,000 training and 8,000 test images of 96×96 pixels, torchvision's layout."""
    names = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
    return _read("STL10", location, names, by_split=True)


def _read(name: str, location: Location, classes: tuple[str, ...], *, by_split: bool) -> Splits:
    """Returns what a torchvision data set holds: ``data`` and ``targets`` or ``labels``, images first.

    Raises:
        DataError: it is not there, or cannot be downloaded.
    """
    # imported where it is needed: it takes a second, which no other data set should wait for
    from torchvision import datasets as offered

    kind: Any = getattr(offered, name)

    def arrays(split: str) -> tuple[Pixels, Labels]:
        chosen = {"split": split} if by_split else {"train": split == "train"}
        try:
            found = kind(location.folder, **chosen, download=location.download)
        except (RuntimeError, OSError, ValueError, AssertionError, LookupError, TypeError) as problem:
            what = "could not be downloaded to" if location.download else "is not in"
            raise DataError(
                f"{name} {what} {location.folder}: {(str(problem) or 'damaged').splitlines()[0]} "
                "Name its folder with --data, or fetch it with --download."
            ) from None
        pixels = np.asarray(found.data, dtype=np.uint8)
        pixels = pixels[:, None] if pixels.ndim == 3 else pixels  # (N, H, W) of grey images
        return np.ascontiguousarray(pixels), np.asarray(
            getattr(found, "targets", None) if not by_split else found.labels, dtype=np.int64
        )

    (pixels, labels), (test_pixels, test_labels) = arrays("train"), arrays("test")
    return Splits(pixels, labels, test_pixels, test_labels, classes)
