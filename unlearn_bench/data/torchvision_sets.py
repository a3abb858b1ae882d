"""Data sets of torchvision whose images have one size: MNIST, Fashion-MNIST, SVHN, STL-10."""

from __future__ import annotations

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


@dataset(label="MNIST", source="LeCun et al. 1998; torchvision")
def mnist(location: Location) -> Splits:
    """Handwritten digits: 60,000 training and 10,000 test images of 28×28 grey pixels, in torchvision's layout."""
    return _read("MNIST", location, DIGITS, by_split=False)


@dataset(label="Fashion-MNIST", source="Xiao et al. 2017; torchvision")
def fashion_mnist(location: Location) -> Splits:
    """Clothes: 60,000 training and 10,000 test images of 28×28 grey pixels, in torchvision's layout."""
    return _read("FashionMNIST", location, CLOTHES, by_split=False)


@dataset(label="SVHN", source="Netzer et al. 2011; torchvision")
def svhn(location: Location) -> Splits:
    """House numbers: 73,257 training and 26,032 test images of 32×32 pixels, in torchvision's layout."""
    return _read("SVHN", location, DIGITS, by_split=True)


@dataset(label="STL-10", source="Coates et al. 2011; torchvision")
def stl10(location: Location) -> Splits:
    """Animals and vehicles: 5,000 training and 8,000 test images of 96×96 pixels, in torchvision's layout."""
    names = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
    return _read("STL10", location, names, by_split=True)


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
