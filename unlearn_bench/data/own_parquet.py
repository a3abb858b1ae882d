"""Data sets in Parquet files as Hugging Face publishes them (``parquet:PATH``)."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unlearn_bench.core.errors import DataError, DataNotice
from unlearn_bench.core.sources import user_folder
from unlearn_bench.data import Labels, Location, Splits, dataset
from unlearn_bench.data.arrangement import TEST_NAMES, TRAIN_NAMES
from unlearn_bench.data.decode import decode
from unlearn_bench.data.loading import split_by_hash
from unlearn_bench.data.parquet import check_labels, complete_shards, image_bytes, read_table, schema_of
from unlearn_bench.data.tree import is_litter

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label", "fine_labels")
SPLIT = re.compile(rf"(?:partial-)?({'|'.join((*TRAIN_NAMES, *TEST_NAMES))})(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class _Columns:
    """The columns that are read, and the names of the classes if the file has them."""

    image: str
    label: str
    classes: tuple[str, ...]


def _shards(location: Location) -> dict[str, list[Path]]:
    """Returns the complete shards of each split, by its name in lower case; ``train`` for files without a split.

    Raises:
        DataError: there are no Parquet files, they belong to several data sets, or a shard is missing.
    """
    root = user_folder(location.path)
    if not location.path or not root.exists():
        raise DataError(f"There is no folder '{location.path}'. Give a folder of Parquet files: parquet:PATH.")
    found = sorted(root.rglob("*.parquet")) if root.is_dir() else [root]
    files = [file for file in found if not any(is_litter(part) for part in file.relative_to(root).parts)]
    if not files:
        hint = " It was saved by save_to_disk; save it with to_parquet." if list(root.rglob("*.arrow")) else ""
        raise DataError(f"{location.path} contains no Parquet files, expected data/train-*.parquet and others.{hint}")
    splits: dict[str, list[Path]] = {}
    folders: set[Path] = set()
    for file in files:
        by_file, by_folder = SPLIT.match(file.name), SPLIT.fullmatch(file.parent.name)
        split = by_file or by_folder
        splits.setdefault(split[1].lower() if split else "", []).append(file)
        folders.add(file.parent if by_file or not by_folder else file.parent.parent)
    if len(folders) > 1:
        named = ", ".join(sorted(str(folder.relative_to(root)) for folder in folders)[:10])
        raise DataError(f"{location.path} contains Parquet files in several folders: {named}. Give one of them.")
    unnamed = splits.pop("", [])
    if unnamed and splits:
        text = (
            f"{len(unnamed):,} Parquet files in {location.path} are not read, because their names begin with no split"
        )
        warnings.warn(DataNotice(f"{text}: {', '.join(file.name for file in unnamed[:10])}."), stacklevel=2)
    elif unnamed:
        splits["train"] = unnamed
    return {split: complete_shards(shards) for split, shards in splits.items()}


def _files(location: Location) -> list[Path]:
    return [file for shards in _shards(location).values() for file in shards]


@dataset(label="Parquet files", source="your own images", files=_files, reads_by=("size",))
def parquet(location: Location) -> Splits:
    """The images in ``PATH/**/train-*.parquet`` and ``test-*.parquet``, as Hugging Face publishes data sets.

    The column of images (``image`` or ``img``, as bytes or ``{bytes, path}``) and that of labels (``label``, ``labels``
    or ``fine_label``, numbers or words) are found by the types in the files, else by these names. The names of the
    classes come from the files, where they have them. The test split may be called ``test``, ``validation`` and alike;
    without one, the fifth of each class with the smallest hashes is the test split. ``--size N`` as for a folder.
    """
    splits = _shards(location)
    train = next((splits[name] for name in TRAIN_NAMES if name in splits), None)
    if train is None:
        raise DataError(
            f"{location.path} has no files train-*.parquet, but {', '.join(splits)}. Add the training split."
        )
    columns = _columns_of(train[0])
    tables = [read_table(train, [columns.image, columns.label])]
    test = _test_table(splits, columns, location.path)
    tables += [test] if test is not None else []
    classes, labels = _labels([table[columns.label] for table in tables], columns, train[0].parent)
    cells = [cell for table in tables for cell in table[columns.image].tolist()]
    pixels = decode(
        cells,
        image_bytes,
        lambda row: f"Image {row} of {location.path}",
        location.progress,
        f"decode {location.path}",
        reading=location.reading,
    )
    if test is None:
        return split_by_hash(pixels, labels[0], classes)
    count = len(labels[0])
    return Splits(pixels[:count], labels[0], pixels[count:], labels[1], classes)


def _test_table(splits: Mapping[str, Sequence[Path]], columns: _Columns, path: str) -> Any:
    """Returns the first test split that has labels, or None."""
    present = [name for name in TEST_NAMES if name in splits]
    for name in present:
        wanted = {columns.image, columns.label}
        if wanted <= set(schema_of(splits[name][0], sorted(wanted)).names):
            table = read_table(splits[name], [columns.image, columns.label])
            values = table[columns.label]
            if not (values.isna() | (values == -1)).all():  # hidden labels are -1
                return table
        warnings.warn(DataNotice(f"The split '{name}' of {path} has no labels and is not read."), stacklevel=2)
    warnings.warn(DataNotice(f"{path} has no test split: a fifth of each class is the test split."), stacklevel=2)
    return None


def _columns_of(file: Path) -> _Columns:
    """Returns the columns of images and labels.

    Raises:
        DataError: there is none, or there are several.
    """
    schema = schema_of(file, [IMAGE_COLUMNS[0], LABEL_COLUMNS[0]])
    text = (schema.metadata or {}).get(b"huggingface", b"{}")
    try:
        features = json.loads(text).get("info", {}).get("features", {})
    except (ValueError, AttributeError):  # written by another program
        features = {}
    typed = {name: feature for name, feature in features.items() if isinstance(feature, dict) and name in schema.names}

    def choose(kind: str, known: Sequence[str], what: str) -> str:
        of_type = [name for name, feature in typed.items() if feature.get("_type") == kind]
        named = [name for name in known if name in (of_type or schema.names)]
        if len(of_type) == 1 or named:
            return named[0] if named else of_type[0]
        several = f"several columns of {what}: {', '.join(of_type)}" if of_type else f"no column of {what}"
        raise DataError(
            f"{file} has {several}. Its columns are {', '.join(schema.names)}; call the one to read {known[0]}."
        )

    image, label = choose("Image", IMAGE_COLUMNS, "images"), choose("ClassLabel", LABEL_COLUMNS, "labels")
    names = typed.get(label, {}).get("names") or ()
    return _Columns(image, label, tuple(map(str, names)))


def _labels(values: Sequence[Any], columns: _Columns, folder: Path) -> tuple[tuple[str, ...], list[Labels]]:
    """Returns the names of the classes, and the labels of each split, from columns of numbers or of words.

    Raises:
        DataError: a label is missing, negative or without a name, or the test split has a class of its own.
    """
    if all(isinstance(value, str) for column in values for value in column):
        classes = tuple(sorted(set(values[0])))
        if unknown := sorted({value for column in values for value in column} - set(classes)):
            raise DataError(f"The class '{unknown[0]}' in {folder} has test images only. Add training images.")
        number = {name: label for label, name in enumerate(classes)}
        return classes, [np.asarray([number[value] for value in column], dtype=np.int64) for column in values]
    for column in values:
        check_labels(column, columns.label, folder)
    labels = [column.to_numpy(dtype=np.int64) for column in values]
    count = int(max(column.max() for column in labels)) + 1
    if columns.classes and count > len(columns.classes):
        raise DataError(
            f"{folder} has the label {count - 1}, but only {len(columns.classes)} names of classes. Add names."
        )
    return columns.classes or tuple(map(str, range(count))), labels
