"""CIFAR-10 from public Parquet copies or from torchvision's layout, with torchvision's download and checksum."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from torchvision.datasets import CIFAR10

from unlearn_bench.data import Labels, Location, Pixels, Splits, dataset
from unlearn_bench.data.parquet import read_parquet
from unlearn_bench.errors import DataError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def _parquet(location: Location, split: str) -> list[Path]:
    return sorted((location.folder / "cifar10").rglob(f"{split}-*.parquet"))


def _files(location: Location) -> list[Path]:
    parquet = _parquet(location, "train") + _parquet(location, "test")
    return parquet or sorted(
        path for path in (location.folder / CIFAR10.base_folder).glob("*_batch*") if path.is_file()
    )


@dataset(label="CIFAR-10", source="Krizhevsky 2009", files=_files)
def cifar10(location: Location) -> Splits:
    """CIFAR-10: 50,000 training and 10,000 test images of 32×32 pixels in 10 classes.

    Looked for in the data folder, in this order: ``cifar10/**/train-*.parquet`` and ``test-*.parquet`` (columns
    ``img`` and ``label``), ``cifar-10-batches-py/`` (torchvision's layout, its checksums verified).
    """
    train, test = _parquet(location, "train"), _parquet(location, "test")
    if train and test:
        read = partial(read_parquet, image="img", labels=["label"], progress=location.progress)
        (pixels, [labels]), (test_pixels, [test_labels]) = (
            read(files, task=f"decode CIFAR-10 {split}") for split, files in (("training", train), ("test", test))
        )
    else:
        (pixels, labels), (test_pixels, test_labels) = (_torchvision(location, is_train) for is_train in (True, False))
    return Splits(pixels, labels, test_pixels, test_labels, CLASSES)


def _torchvision(location: Location, is_train: bool) -> tuple[Pixels, Labels]:
    try:
        found = CIFAR10(location.folder, train=is_train, download=location.download)
    except (RuntimeError, OSError) as problem:
        if location.download:
            raise DataError(f"CIFAR-10 could not be downloaded to {location.folder}: {problem}.") from None
        raise DataError(
            f"No CIFAR-10 in {location.folder}: expected cifar10/train-*.parquet and test-*.parquet, or an intact "
            f"{CIFAR10.base_folder}/. Name its folder with --data, or fetch it with --download."
        ) from None
    pixels = found.data.transpose(0, 3, 1, 2)  # torchvision keeps (N, H, W, C)
    return np.ascontiguousarray(pixels), np.asarray(found.targets, dtype=np.int64)
