"""Which files of a folder are images, of which class and in which split. Nothing is left out without being named."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePosixPath

from PIL import Image

from unlearn_bench.core.errors import DataError
from unlearn_bench.data.decode import FORMATS
from unlearn_bench.data.tree import Tree

TRAIN_NAMES = ("train", "training")
TEST_NAMES = ("test", "testing", "val", "valid", "validation", "dev")  # the first that exists is the test split
METADATA = ("metadata.csv", "metadata.jsonl")  # as in Hugging Face's imagefolder
LABEL_COLUMNS = ("label", "labels", "class")
SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8")  # of images whose file has another ending, or none
NAMED = 10  # in a message

Labelled = list[tuple[str, str]]  # (name of a file, name of its class)


@dataclass
class Arrangement:
    """The images of a folder.

    Attributes:
        train, test: names of files with their classes; no test images if the reader has to split.
        has_test: whether the folder has a test split.
        skipped: names of files and folders that are not read.
        notes: sentences about the layout that the user may not expect.
    """

    train: Labelled = field(default_factory=list)
    test: Labelled = field(default_factory=list)
    has_test: bool = False
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes in alphabetical order."""
        return tuple(sorted({name for _, name in self.train}))


@dataclass(frozen=True)
class _Part:
    """A folder that may be a split or a class.

    Attributes:
        direct: whether it contains images that are in none of its folders.
        nested: whether its folders contain images.
        table: the file with its labels, if there is one.
    """

    direct: bool
    nested: bool
    table: str = ""

    @property
    def is_split(self) -> bool:
        return bool(self.table) or (self.nested and not self.direct)


def arrange(tree: Tree, layout: str) -> Arrangement:
    """Returns which files are images, of which class and in which split.

    Raises:
        DataError: the folder has no such layout, or could have two of them; a class folder has no images.
    """
    images = {name for name in tree.names if _is_image(tree, name)}
    found = Arrangement()
    train, test, others = ("", None, []) if layout == "classes" else _splits(tree, images, layout, found)
    found.train = _labelled(tree, images, train, found)
    if test is not None:
        found.test, found.has_test = _labelled(tree, images, test, found), True
        _check_same_classes(tree, found, train, test)
    if len(found.classes) < 2:
        raise DataError(_too_few(tree, found.classes, train))
    read = {name for name, _ in found.train + found.test}
    unused = [f"{name}/" for name in others]
    beside = [name for name in tree.names if name not in read and PurePosixPath(name).name not in METADATA]
    found.skipped += unused + [name for name in beside if not name.startswith(tuple(unused))]
    return found


def _splits(tree: Tree, images: set[str], layout: str, found: Arrangement) -> tuple[str, str | None, list[str]]:
    """Returns the folder of the training split, that of the test split, and the folders that are not read.

    The first is empty if the root itself has the class folders; the second is None if there is no test split.
    """
    parts = {name: _part(tree, images, name) for name in tree.folders if "/" not in name}
    splits = [name for name, part in parts.items() if part.is_split]
    train = next((name for known in TRAIN_NAMES for name in splits if name.lower() == known), None)
    tests = [name for known in TEST_NAMES for name in splits if name.lower() == known]
    others = [name for name in parts if name not in (train, *tests[:1])]
    known = f"{' or '.join(TRAIN_NAMES)} for training, {', '.join(TEST_NAMES)} for test"
    if train is None:
        if layout == "splits" or tests:
            where = f"{tree.shown(tests[0])} has class folders, but there is no" if tests else f"{tree.root} has no"
            raise DataError(
                f"{where} folder of training images with class folders. Folders of splits are called {known}; "
                "if these folders are classes, give --layout classes."
            )
        return "", None, []
    if tests:
        return train, tests[0], others
    unknown = [name for name in others if name.lower() not in TEST_NAMES and (parts[name].nested or parts[name].direct)]
    if unknown and layout == "auto":
        raise DataError(
            f"{tree.root} contains {train}/ with class folders beside {', '.join(unknown[:NAMED])}, and no test split. "
            f"Folders of splits are called {known}. Rename the folder of the test split, or give --layout classes if "
            "these folders are classes, or --layout splits to use the training split alone."
        )
    found.notes.append(
        f"{tree.root} has no test split with class folders: a fifth of each class in {train}/ is the test split. Known "
        f"names of test splits: {', '.join(TEST_NAMES)}."
    )
    return train, None, others


def _part(tree: Tree, images: Iterable[str], folder: str) -> _Part:
    below = [PurePosixPath(name).relative_to(folder).parts for name in images if name.startswith(f"{folder}/")]
    return _Part(
        any(len(parts) == 1 for parts in below), any(len(parts) > 1 for parts in below), _table_of(tree, folder)
    )


def _table_of(tree: Tree, folder: str) -> str:
    known = set(tree.names)
    return next((name for name in (_joined(folder, table) for table in METADATA) if name in known), "")


def _labelled(tree: Tree, images: set[str], split: str, found: Arrangement) -> Labelled:
    """Returns the images of a split with their classes: by their folders, else by the table beside them."""
    prefix = _joined(split, "")
    folders = [name for name in tree.folders if name.startswith(prefix) and "/" not in name[len(prefix) :]]
    files: dict[str, list[str]] = {name: [] for name in folders}
    nested = 0
    for name in sorted(images):
        first, *below = name[len(prefix) :].split("/") if name.startswith(prefix) else [""]
        if below:
            files[prefix + first].append(name)
            nested += len(below) > 1
    table = _table_of(tree, split)
    if table and (labelled := _from_table(tree, table, images, prefix)):
        return labelled
    if empty := [tree.shown(name) for name, members in files.items() if not members]:
        raise DataError(
            f"The class folder {', '.join(empty[:NAMED])} contains no images. Add images or remove the folder."
        )
    if nested:
        found.notes.append(
            f"{nested:,} images in folders below the class folders of {tree.shown(split)} are images of those classes."
        )
    return [(name, class_name(folder[len(prefix) :])) for folder, members in files.items() for name in members]


def _from_table(tree: Tree, table: str, images: set[str], prefix: str) -> Labelled:
    """Returns the images that a table names, with their classes; nothing if the table has no labels."""
    rows = _rows(tree, table)
    column = next((name for name in LABEL_COLUMNS if rows and rows[0].get(name) not in (None, "")), None)
    if column is None or "file_name" not in rows[0]:
        return []
    named = [(f"{prefix}{row.get('file_name')}", str(row.get(column, ""))) for row in rows]
    if missing := [tree.shown(name) for name, _ in named if name not in images]:
        raise DataError(
            f"{len(missing)} of {len(named)} images in {tree.shown(table)} do not exist: {_first(missing)}. Add them "
            "or remove their rows."
        )
    return [(name, class_name(label)) for name, label in named]


def _rows(tree: Tree, table: str) -> list[Mapping[str, object]]:
    try:
        text = tree.read(table, -1).decode("utf-8-sig")
        if table.endswith(".jsonl"):
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        return list(csv.DictReader(io.StringIO(text)))
    except (ValueError, csv.Error, OSError) as problem:
        raise DataError(f"{tree.shown(table)} cannot be read: {problem}. Correct or remove it.") from None


def class_name(words: str) -> str:
    """Returns the name of a class in composed characters (NFC): macOS writes names of folders in decomposed ones."""
    return unicodedata.normalize("NFC", words)


@cache
def _endings() -> frozenset[str]:
    """Returns the endings of the formats that are read, in lower case."""
    return frozenset(ending for ending, kind in Image.registered_extensions().items() if kind in FORMATS)


def _is_image(tree: Tree, name: str) -> bool:
    """Returns whether a file is an image by its ending or, with any other ending, by its first bytes."""
    if PurePosixPath(name).suffix.lower() in _endings():
        return True
    try:
        return tree.read(name, 8).startswith(SIGNATURES)
    except (OSError, ValueError):
        return False


def _check_same_classes(tree: Tree, found: Arrangement, train: str, test: str) -> None:
    classes, of_test = set(found.classes), {name for _, name in found.test}
    if classes != of_test:
        lacking = {
            test: f"lacks {_first(sorted(classes - of_test))}" if classes - of_test else "",
            train: f"lacks {_first(sorted(of_test - classes))}" if of_test - classes else "",
        }
        named = ", and ".join(f"{tree.shown(folder)} {what}" for folder, what in lacking.items() if what)
        raise DataError(
            f"{tree.shown(train)} and {tree.shown(test)} contain different class folders: {named}. Give both the same "
            "class folders."
        )


def _too_few(tree: Tree, classes: Sequence[str], split: str) -> str:
    where = tree.shown(split) if split else str(tree.root)
    named = f" ({classes[0]})" if classes else ""
    inner = [name for name in tree.folders if name.count("/") == 1] if classes and not split and not tree.is_zip else []
    hint = f" Or give the folder within: folder:{tree.shown(classes[0])}." if len(inner) > 1 else ""
    return (
        f"{where} contains {len(classes)} class folder{'' if classes else 's'}{named}, expected at least 2. Store "
        f"images as PATH/CLASS/image.png, or as PATH/train/CLASS/image.png and PATH/test/CLASS/image.png.{hint}"
    )


def _first(names: Sequence[str]) -> str:
    return f"{', '.join(names[:NAMED])}{', …' if len(names) > NAMED else ''}"


def _joined(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
