"""Your own images: a folder or a zip with one folder per class (``folder:PATH``)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from unlearn_bench.core.errors import DataError, DataNotice
from unlearn_bench.core.sources import user_folder
from unlearn_bench.data import Location, Splits, dataset
from unlearn_bench.data.arrangement import NAMED, Arrangement, arrange
from unlearn_bench.data.decode import decode
from unlearn_bench.data.loading import split_by_hash
from unlearn_bench.data.tree import Tree, open_tree

LARGEST_FILE = 2**28  # bytes of an image in a zip


@contextmanager
def _arranged(location: Location) -> Iterator[tuple[Tree, Arrangement]]:
    """Yields the files and their arrangement, and names what is not read.

    Raises:
        DataError: there is no such folder, its layout is unknown, or with ``--strict`` something is not read.
    """
    root = user_folder(location.path)
    if not location.path:
        raise DataError("There is no folder ''. Give a folder with one folder of images per class: folder:PATH.")
    with open_tree(root, location.path, LARGEST_FILE) as tree:
        found = arrange(tree, location.reading.layout)
        if count := len(found.skipped):
            shown = f"{', '.join(found.skipped[:NAMED])}{', …' if count > NAMED else ''}"
            what = f"Not read in {location.path}, being no images of a class in a known format ({count:,}): {shown}."
            if location.reading.is_strict:
                raise DataError(f"{what} Remove them, or leave out --strict.")
            found.notes.append(what)
        for note in found.notes:
            warnings.warn(DataNotice(note), stacklevel=2)
        yield tree, found


def _files(location: Location) -> list[Path]:
    with _arranged(location) as (tree, found):
        return tree.sources([name for name, _ in found.train + found.test])


def _names(location: Location) -> tuple[list[str], list[str]]:
    with warnings.catch_warnings():  # shown when the images were read
        warnings.simplefilter("ignore", DataNotice)
        with _arranged(location) as (_, found):
            return [name for name, _ in found.train], [name for name, _ in found.test]


@dataset(
    label="Folder of class folders",
    source="your own images",
    files=_files,
    is_official=False,
    reads_by=("size", "layout", "is_strict"),
    names=_names,
    version=2,  # images are turned as their EXIF data says
)
def folder(location: Location) -> Splits:
    """The images of ``PATH/train/CLASS/*`` and ``PATH/test/CLASS/*``, or of ``PATH/CLASS/*``; PATH may be a zip.

    Formats are PNG, JPEG, BMP, GIF, TIFF, WebP, PPM and TGA. The images have one size, or ``--size N`` makes it: the
    shorter side is resized to N pixels, and the centre square is kept. Images are turned as their EXIF orientation
    says. Without a test split, the fifth of each class with the smallest hashes is the test split. Labels follow the
    alphabetical order of the class folders; images in folders below them count as theirs.
    """
    with _arranged(location) as (tree, found):
        chosen = found.train + found.test
        names = [name for name, _ in chosen]
        task = f"decode {tree.root.name}"
        pixels = decode(
            names,
            lambda name: tree.read(name, -1),
            lambda row: tree.shown(names[row]),
            location.progress,
            task,
            reading=location.reading,
        )
    classes = found.classes
    label_of = {name: label for label, name in enumerate(classes)}
    labels = np.asarray([label_of[name] for _, name in chosen], dtype=np.int64)
    if not found.has_test:
        return split_by_hash(pixels, labels, classes)
    count = len(found.train)
    return Splits(pixels[:count], labels[:count], pixels[count:], labels[count:], classes)
