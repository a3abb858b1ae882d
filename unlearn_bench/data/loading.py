"""Loads a data set by its name: reads it, sorts it into canonical order, hashes it and selects a subset.

The canonical order is the order of the images' hashes, so neither the source nor its file order changes the content
hash or any result.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from unlearn_bench.core.errors import DataError, OptionError, unknown_name
from unlearn_bench.core.memory import available_memory, in_gib
from unlearn_bench.core.progress import Progress, silent
from unlearn_bench.core.sources import AS_IT_IS, Reading, recorded_name, split_source, user_folder
from unlearn_bench.data import (
    LEFT_OUT,
    Dataset,
    DatasetReader,
    Images,
    Labels,
    Location,
    Pixels,
    Source,
    Splits,
    datasets,
)

LONGEST_NAME = 200  # characters of a class name


def load(
    name: str,
    *,
    folder: Path,
    train_per_class: int | None = None,
    test_per_class: int | None = None,
    download: bool = False,
    progress: Progress = silent,
    reading: Reading = AS_IT_IS,
) -> Dataset:
    """Returns the data set of that name in canonical order, or the first images of each class.

    Args:
        name: ``digits``, ``cifar10``, ``folder:PATH``, ``parquet:PATH``, ``FILE.py:FUNCTION``.
        folder: folder of all data sets, each in the layout of its reader.
        train_per_class, test_per_class: images of each class to keep; None for all. The order is that of hashes, so the
            first images are as good as a random choice, and they are the same on every machine.
        download: whether a reader may download missing files.
        progress: called during long work.
        reading: how the images of a user's own data set are read.

    Raises:
        UnknownNameError: no such data set.
        OptionError: ``reading`` is for a built-in data set.
        DataError: images are missing or unreadable, a class has too few, or an image is in both splits.
    """
    from unlearn_bench.data.cache import cached  # imported here because it imports ``canonical`` from this file

    reader, path = reader_of(name)
    unused = [word for part, words in reading.options.items() if part not in reader.reads_by for word in words]
    if unused:
        kinds = "folder:PATH" if "size" in reader.reads_by else "folder:PATH, parquet:PATH or FILE.py:FUNCTION"
        raise OptionError(f"{' '.join(unused)} is for {kinds}, and the data set is {name}. Leave it out.")
    recorded = recorded_name(name, reading.size)
    location = Location(folder, path, download, progress, reading)
    try:
        files = reader.files(location) if reader.files else []
        splits = cached(reader, location, files)
    except OSError as problem:
        raise DataError(
            f"{name} cannot be read: {problem.strerror}: {problem.filename}. Check the file and its permissions."
        ) from None
    train, test = (_images(splits, split) for split in ("train", "test"))
    kept, kept_test = (
        _kept(images, number, splits.classes, split)
        for images, number, split in ((train, train_per_class, "training"), (test, test_per_class, "test"))
    )
    train, test = (images if part is None else images[part] for images, part in ((train, kept), (test, kept_test)))
    _check_memory(train)
    scaled = train.pixels.float().div_(255)
    return Dataset(
        name=recorded,
        train=train,
        test=test,
        classes=splits.classes,
        digest=_digest(train, test),
        mean=tuple(scaled.mean(dim=(0, 2, 3)).tolist()),
        # a channel without contrast is divided by 1 instead of 0
        std=tuple(s if s > 0 else 1.0 for s in scaled.std(dim=(0, 2, 3)).tolist()),
        fine_classes=splits.fine_classes,
        test_images=len(test),
        paths=_paths(files),
        source=Source(reader.name, folder, path, reading, _rows(splits, kept)),
    )


def reader_of(name: str) -> tuple[DatasetReader, str]:
    """Returns the reader of a data set, and the path or function that the name gives to it.

    Raises:
        UnknownNameError: no such data set.
    """
    kind, path = split_source(name)
    if kind in datasets.names():
        return datasets.get(kind), path
    if path:
        return datasets.get("function"), f"{kind}:{path}"
    raise unknown_name("dataset", name, datasets.names())


def canonical(splits: Splits, *, drop_overlap: bool = False) -> Splits:
    """Returns the splits with their images sorted by their hashes.

    Args:
        splits: in any order.
        drop_overlap: whether to drop test images that, with the same label, are in the training split too. CIFAR-100 as
            published has four of them. A test on training images measures nothing.

    Raises:
        DataError: there are such images and ``drop_overlap`` is false; or a class name is too long or not printable.
    """
    for name in (*splits.classes, *splits.fine_classes):
        if not name.isprintable() or not 0 < len(name) <= LONGEST_NAME:
            raise DataError(
                f"The class name {name[:LONGEST_NAME]!r} has {len(name)} characters or unprintable ones, expected 1 to "
                f"{LONGEST_NAME} printable characters. Rename it."
            )
    if repeated := [name for name, count in Counter(splits.classes).items() if count > 1]:
        raise DataError(f"{splits.classes.count(repeated[0])} classes are called '{repeated[0]}'. Rename them.")
    for labels in (splits.train_labels, splits.test_labels):
        check_range(labels, len(splits.classes))
    train_digests, test_digests = (np.array(_images(splits, split).digests) for split in ("train", "test"))
    is_shared = np.isin(test_digests, train_digests)
    if is_shared.any() and not drop_overlap:
        raise DataError(
            f"{is_shared.sum()} images occur with the same label in both the training and the test split. Remove them "
            "from one split."
        )
    train, test = np.argsort(train_digests), np.argsort(test_digests)
    test = test[~is_shared[test]]
    position = np.empty(len(train), dtype=np.int64)  # in the new order, of each image in the old one
    position[train] = np.arange(len(train))
    rows = position if splits.rows is None else np.where(splits.rows < 0, -1, position[splits.rows])
    return replace(
        splits,
        train_pixels=splits.train_pixels[train],
        train_labels=splits.train_labels[train],
        test_pixels=splits.test_pixels[test],
        test_labels=splits.test_labels[test],
        train_fine=None if splits.train_fine is None else splits.train_fine[train],
        test_fine=None if splits.test_fine is None else splits.test_fine[test],
        rows=rows,
    )


def check_range(labels: Labels, classes: int) -> None:
    """Raises DataError if a label, of (N,) int64, is not one of so many classes."""
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        wrong = int(labels.max() if labels.min() >= 0 else labels.min())
        raise DataError(
            f"An image has the label {wrong}, expected 0 to {classes - 1}. These are the files of another data set, or "
            "its labels are damaged."
        )


def split_by_hash(pixels: Pixels, labels: Labels, classes: tuple[str, ...], test_share: float = 0.2) -> Splits:
    """Returns a stratified split; the images of each class with the smallest hashes are the test images.

    Args:
        pixels: (N, C, H, W) uint8; of equal images with equal labels one is kept, so that the splits do not overlap.
        labels: (N,) int64.
        classes: names of the classes.
        test_share: test share of each class, rounded to whole images, at least one.
    """
    digests = np.array(Images(_tensor(pixels), _tensor(labels)).digests)
    _, order, same = np.unique(digests, return_index=True, return_inverse=True)  # sorted by hash, without duplicates
    test: list[int] = []
    for label in range(len(classes)):
        members = order[labels[order] == label]
        test.extend(members[: max(1, round(test_share * len(members)))].tolist())
    is_test = np.zeros(len(labels), dtype=bool)
    is_test[test] = True
    train = order[~is_test[order]]
    chosen = order[is_test[order]]
    rows = np.where(is_test[order], -1, np.cumsum(~is_test[order]) - 1)[same]
    return Splits(pixels[train], labels[train], pixels[chosen], labels[chosen], classes, rows=rows)


def _paths(files: list[Path]) -> tuple[str, ...]:
    """Returns the common folder of a data set's files, or its only file; nothing if it comes with a package."""
    return (os.path.commonpath([file.resolve() for file in files]),) if files else ()


def data_folder(home: Path, folder: Path | None = None) -> Path:
    """Returns the folder of data sets: ``folder``, else UNLEARN_BENCH_DATA, else ``data/`` in ``home``."""
    chosen = str(folder or os.environ.get("UNLEARN_BENCH_DATA") or home / "data")
    return user_folder(chosen) if chosen.startswith("~") else Path(chosen)  # no shell expands --data=~/images


def _images(splits: Splits, split: Literal["train", "test"]) -> Images:
    pixels, labels, fine = (getattr(splits, f"{split}_{part}") for part in ("pixels", "labels", "fine"))
    return Images(_tensor(pixels), _tensor(labels), None if fine is None else _tensor(fine))


def _tensor(array: Pixels | Labels) -> Tensor:
    # torch shares the memory and requires it to be writable
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def _rows(splits: Splits, kept: Tensor | None) -> Tensor:
    """Returns the rows of :class:`unlearn_bench.data.Source`, for the training images at ``kept``; None for all."""
    count = len(splits.train_labels)
    rows = torch.from_numpy(np.arange(count) if splits.rows is None else splits.rows)
    if kept is None:
        return rows
    position = torch.full((count,), LEFT_OUT)
    position[kept] = torch.arange(len(kept))
    return torch.where(rows < 0, rows, position[rows])


def _kept(images: Images, per_class: int | None, classes: tuple[str, ...], split: str) -> Tensor | None:
    """Returns the positions of the first images of each class; None for all images."""
    counts = torch.bincount(images.labels, minlength=len(classes))
    needed = per_class or (1 if split == "training" else 0)  # a retained class may have no test images
    for label, count in enumerate(counts.tolist()):
        if count < needed:
            remedy = (
                "Add images, or lower the number under `subset` in benchmarks.yaml." if per_class else "Add images."
            )
            raise DataError(
                f"Class '{classes[label]}' has {count} {split} images, expected at least {needed}. {remedy}"
            )
    if per_class is None:
        return None
    keep = [torch.nonzero(images.labels == label)[:per_class, 0] for label in range(len(classes))]
    return torch.cat(keep).sort().values


def _check_memory(train: Images) -> None:
    """Raises DataError if the training images do not fit into memory as numbers, from which mean and std are made."""
    needed, available = 4 * train.pixels.numel(), available_memory()
    if available is not None and needed > available:
        raise DataError(
            f"{len(train):,} training images of {train.pixels.shape[3]}×{train.pixels.shape[2]} pixels take "
            f"{in_gib(needed)} as numbers, and {in_gib(available)} of memory are available. Use smaller or fewer "
            "images; --size makes your own smaller."
        )


def _digest(train: Images, test: Images) -> str:
    content: Any = hashlib.sha256()
    for images in (train, test):
        content.update(repr(tuple(images.pixels.shape)).encode())
        content.update("".join(images.digests).encode())
        if images.fine is not None:
            content.update(images.fine.cpu().numpy().astype("<i8").tobytes())
    return str(content.hexdigest())
