"""The user's own images: a folder with a folder for each class (``folder:PATH``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unlearn_bench.data import Labels, Location, Pixels, Splits, dataset
from unlearn_bench.data.decode import decode
from unlearn_bench.data.loading import split_by_hash
from unlearn_bench.errors import DataError
from unlearn_bench.spec import user_folder

TEST_NAMES = ("test", "val", "valid", "validation")


def _root(location: Location) -> Path:
    root = user_folder(location.path)
    if not location.path or not root.is_dir():
        raise DataError(
            f"There is no folder '{location.path}'. Name one that holds a folder of images for each class: folder:PATH."
        )
    return root


def _files(location: Location) -> list[Path]:
    return sorted(path for path in _root(location).rglob("*") if path.is_file() and not path.name.startswith("."))


@dataset(label="Folder of class folders", source="the user's own", files=_files, is_official=False)
def folder(location: Location) -> Splits:
    """The images of ``PATH/train/CLASS/*`` and ``PATH/test/CLASS/*``, all of one size.

    They may be PNG, JPEG, BMP, GIF, TIFF, WebP, PPM or TGA. Without the two splits, ``PATH/CLASS/*`` is split: of each
    class the fifth with the smallest hashes is the test. Labels follow the alphabetical order of the class folders.
    """
    root = _root(location)
    train = root / "train"
    test = next((root / name for name in TEST_NAMES if (root / name).is_dir()), None)
    if train.is_dir() and test is not None:
        classes = _class_names(train)
        if _class_names(test) != classes:
            raise DataError(f"{train} and {test} hold different class folders. Give both the same ones.")
        train_part, test_part = _read(train, classes, location), _read(test, classes, location)
        if train_part[0].shape[1:] != test_part[0].shape[1:]:
            raise DataError(
                f"Images of {train} have the shape {train_part[0].shape[1:]}, of {test} {test_part[0].shape[1:]}. "
                "Give both one size and one colour mode."
            )
        return Splits(*train_part, *test_part, classes)
    classes = _class_names(root)
    return split_by_hash(*_read(root, classes, location), classes)


def _class_names(root: Path) -> tuple[str, ...]:
    names = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(names) < 2:
        raise DataError(f"{root} holds {len(names)} class folders, expected at least 2: PATH/CLASS/image.png.")
    return tuple(names)


def _read(root: Path, classes: tuple[str, ...], location: Location) -> tuple[Pixels, Labels]:
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        members = [path for path in sorted((root / name).iterdir()) if path.is_file() and not path.name.startswith(".")]
        if not members:
            raise DataError(f"The class folder {root / name} holds no images. Add images or remove it.")
        files += members
        labels += [label] * len(members)
    task = f"decode {root.name}"
    pixels = decode(files, Path.read_bytes, lambda row: str(files[row]), location.progress, task)
    return pixels, np.asarray(labels, dtype=np.int64)
