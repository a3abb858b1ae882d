"""Your own images: a folder that contains one folder per class (``folder:PATH``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unlearn_bench.core.errors import DataError
from unlearn_bench.core.spec import user_folder
from unlearn_bench.data import Labels, Location, Pixels, Splits, dataset
from unlearn_bench.data.decode import decode
from unlearn_bench.data.loading import split_by_hash

TEST_NAMES = ("test", "val", "valid", "validation")


def _root(location: Location) -> Path:
    root = user_folder(location.path)
    if not location.path or not root.is_dir():
        raise DataError(
            f"There is no folder '{location.path}'. Give a folder with one folder of images per class: folder:PATH."
        )
    return root


def _files(location: Location) -> list[Path]:
    return sorted(path for path in _root(location).rglob("*") if path.is_file() and not path.name.startswith("."))


@dataset(label="Folder of class folders", source="your own images", files=_files, is_official=False)
def folder(location: Location) -> Splits:
    """The images of ``PATH/train/CLASS/*`` and ``PATH/test/CLASS/*``, all of one size.

    Formats are PNG, JPEG, BMP, GIF, TIFF, WebP, PPM and TGA. Without the two splits, the reader splits
    ``PATH/CLASS/*``: the fifth of each class with the smallest hashes is the test split. Labels follow the alphabetical
    order of the class folders.
    """
    root = _root(location)
    train = root / "train"
    test = next((root / name for name in TEST_NAMES if (root / name).is_dir()), None)
    if train.is_dir() and test is not None:
        classes = _class_names(train)
        if _class_names(test) != classes:
            raise DataError(f"{train} and {test} contain different class folders. Give both the same class folders.")
        train_part, test_part = _read(train, classes, location), _read(test, classes, location)
        if train_part[0].shape[1:] != test_part[0].shape[1:]:
            raise DataError(
                f"Images in {train} have the shape {train_part[0].shape[1:]}, images in {test} have the shape "
                f"{test_part[0].shape[1:]}. Convert all images to one size and one colour mode."
            )
        return Splits(*train_part, *test_part, classes)
    classes = _class_names(root)
    return split_by_hash(*_read(root, classes, location), classes)


def _class_names(root: Path) -> tuple[str, ...]:
    names = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(names) < 2:
        raise DataError(
            f"{root} contains {len(names)} class folders, expected at least 2. Store images as PATH/CLASS/image.png."
        )
    return tuple(names)


def _read(root: Path, classes: tuple[str, ...], location: Location) -> tuple[Pixels, Labels]:
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        members = [path for path in sorted((root / name).iterdir()) if path.is_file() and not path.name.startswith(".")]
        if not members:
            raise DataError(f"The class folder {root / name} contains no images. Add images or remove the folder.")
        files += members
        labels += [label] * len(members)
    task = f"decode {root.name}"
    pixels = decode(files, Path.read_bytes, lambda row: str(files[row]), location.progress, task)
    return pixels, np.asarray(labels, dtype=np.int64)
