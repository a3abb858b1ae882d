"""Listed images: the forget set consists of the training images that a file lists."""

from __future__ import annotations

import unicodedata
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from unlearn_bench.core.errors import DataError, DataNotice
from unlearn_bench.core.forget_words import LONGEST_NUMBER
from unlearn_bench.core.image_list import is_recorded, list_name, read_list
from unlearn_bench.core.sources import user_folder
from unlearn_bench.data import LEFT_OUT, Dataset, ForgetSplit, Source
from unlearn_bench.data.scenarios import scenario

NAMED = 5  # lines in a message


@scenario(
    name="list",
    label="Listed images",
    source="your own list of images",
    untunable="held-out samples of D_f and of D'_r may have one distribution, and the method sees neither",
)
def listed(dataset: Dataset, forget: str) -> ForgetSplit:
    """The training images that a file lists, a path or an index a line; ``forget`` is the file.

    Paths are those of ``folder:PATH``: below PATH, below the working folder, or absolute. Indices count the training
    images from 0 in the order of the data set's own files. Lines that begin with ``#`` and blank lines are skipped. A
    CSV file may have a header. The list is recorded as its number of lines and a digest of them.

    No test images correspond to the forget set. Where a metric reads such images, it reads D_f itself: Acc(D_f) is the
    share of listed training images whose label the model predicts. LP(D_f) is not defined. The test images of D_r are
    all test images.

    Raises:
        DataError: the file cannot be read, or a line is not a training image or is there twice, or every training image
            is listed.
    """
    if is_recorded(forget):
        raise DataError(f"The record of the list {forget} has no lines, only their digest. Give the file of the list.")
    lines = read_list(forget)
    positions = _positions(lines, dataset, forget)
    if len(positions) == len(dataset.train):
        raise DataError(
            f"The list {forget} names all {len(dataset.train):,} training images, and nothing would be retained. "
            "Remove some lines."
        )
    everything = torch.ones(len(dataset.test), dtype=torch.bool)
    split = ForgetSplit(
        name=list_name(forget),
        forget=positions,
        test_forget=everything,
        test_retain=everything,
        classes=(),
        train=dataset.train,
        has_counterpart=False,
    )
    _name_whole_classes(dataset, split, forget)
    return split


def _positions(lines: Sequence[str], dataset: Dataset, forget: str) -> torch.Tensor:
    """Returns the sorted positions of the listed images in the training split, (M,) int64."""
    source = dataset.source
    if source is None:
        raise DataError(f"The order of the files of {dataset.name} is not known. Load it by its name.")
    images, tests = _named_images(lines, source)
    images |= {line: int(line) for line in lines if line not in images and _is_index(line)}
    _refuse_unknown([line for line in lines if line not in images and line not in tests], lines, source, forget)
    last = len(source.rows) - 1
    if outside := [line for line in lines if line in images and images[line] > last]:
        raise DataError(
            f"{_count(outside, lines)} of {forget} are out of range: {_first(outside)}; expected 0 to {last:,}, the "
            f"images of {dataset.name} in the order of its files. Correct them."
        )
    if unused := [line for line in lines if line in images and int(source.rows[images[line]]) == LEFT_OUT]:
        raise DataError(
            f"{_count(unused, lines)} of {forget} are not in the subset of {dataset.name} that the profile uses: "
            f"{_first(unused)}. Remove them, or choose a profile without a subset."
        )
    if of_test := [line for line in lines if line in tests or int(source.rows[images[line]]) < 0]:
        raise DataError(
            f"{_count(of_test, lines)} of {forget} are test images of {dataset.name}: {_first(of_test)}. Remove them, "
            f"since only training images can be forgotten{'' if tests else _WITHOUT_TEST}."
        )
    counts = Counter(images[line] for line in lines)
    if repeated := [line for line in lines if counts[images[line]] > 1]:
        raise DataError(
            f"{_count(repeated, lines)} of {forget} name an image that is listed more than once: "
            f"{_first(list(dict.fromkeys(repeated)))}. "
            "List each image once."
        )
    rows = torch.tensor([images[line] for line in lines])
    return source.rows[rows].unique()  # of equal images, a split that is made by hashes keeps one


_WITHOUT_TEST = (
    ", or give the data set a test split of its own, such as a folder test/ beside train/: without one, a fifth of "
    "each class is the test split"
)


def _is_index(line: str) -> bool:
    return line.isascii() and line.isdecimal() and len(line) < LONGEST_NUMBER


def _named_images(lines: Sequence[str], source: Source) -> tuple[dict[str, int], set[str]]:
    """Returns the index of each line that is the path of an image, and the lines that are paths of test images."""
    train, test = source.names()
    row_of = {_composed(name): row for row, name in enumerate(train)}
    tests = {_composed(name) for name in test}
    root = user_folder(source.path) if train else Path()
    names = {line: _name_of(line, root, row_of.keys() | tests) for line in dict.fromkeys(lines)} if train else {}
    images = {line: row_of[name] for line, name in names.items() if name in row_of}
    return images, {line for line, name in names.items() if name in tests and name not in row_of}


def _name_of(line: str, root: Path, known: Mapping[str, int] | set[str]) -> str:
    """Returns the name of an image below the root that a line means; the line itself if there is none."""
    line = _composed(line)
    for words in (line, line.replace("\\", "/")):
        if words in known:
            return words
        try:
            whole = Path(words).expanduser().absolute()
            for path in (whole, whole.parent.resolve() / whole.name):
                if path.is_relative_to(root) and _composed(path.relative_to(root).as_posix()) in known:
                    return _composed(path.relative_to(root).as_posix())
        except (ValueError, OSError, RuntimeError):  # no valid path
            continue
    return line


def _refuse_unknown(unknown: Sequence[str], lines: Sequence[str], source: Source, forget: str) -> None:
    if not unknown:
        return
    train, _ = source.names()
    if not train:
        raise DataError(
            f"{_count(unknown, lines)} of {forget} are no indices: {_first(unknown)}. The images of this data set have "
            "no paths; give indices of training images from 0, in the order of its files."
        )
    raise DataError(
        f"{_count(unknown, lines)} of {forget} are not in {source.path}: {_first(unknown)}. Give paths below that "
        f"folder, such as {train[0]}, or indices of training images."
    )


def _name_whole_classes(dataset: Dataset, split: ForgetSplit, forget: str) -> None:
    left = set(split.train.labels.cpu()[~split.is_forget].tolist())
    gone = [name for label, name in enumerate(dataset.classes) if label not in left]
    if gone:
        notice = (
            f"The list {forget} has every training image of {_first(gone)}. With the scenario class, metrics would use "
            "test images of that class."
        )
        warnings.warn(DataNotice(notice), stacklevel=2)


def _composed(words: str) -> str:
    return unicodedata.normalize("NFC", words)


def _count(some: Sequence[str], lines: Sequence[str]) -> str:
    return f"{len(some):,} of {len(lines):,} lines"


def _first(names: Sequence[str]) -> str:
    return f"{', '.join(names[:NAMED])}{', …' if len(names) > NAMED else ''}"
