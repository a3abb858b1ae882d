"""What a user says about a data set: its name, such as ``folder:PATH``, and how its images are read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePath

from unlearn_bench.core.errors import DataError, OptionError

LAYOUTS = ("auto", "classes", "splits")
LARGEST_SIZE = 4096  # pixels
IN_FILE = re.compile(r"(?!folder:|parquet:)(.+\.py):([^:/\\]+)")  # FILE.py:FUNCTION; FILE may contain colons


@dataclass(frozen=True)
class Reading:
    """How the images of a user's own data set are read. Built-in data sets are read in one way only.

    Attributes:
        size: side in pixels. Each image is resized (bilinear) until its shorter side has this length, and the centre
            square is kept. None keeps the images as they are; they must then have one size.
        layout: of a folder. ``splits``: ``train/CLASS`` and ``test/CLASS``; ``classes``: ``CLASS``; ``auto``: what the
            folder looks like.
        is_strict: whether a file or folder that is not read is an error; otherwise a message names it.

    Raises:
        OptionError: a value is out of range.
    """

    size: int | None = None
    layout: str = "auto"
    is_strict: bool = False

    def __post_init__(self) -> None:
        """Checks the values."""
        if self.size is not None and not 1 <= self.size <= LARGEST_SIZE:
            raise OptionError(f"--size is {self.size}, expected 1 to {LARGEST_SIZE} pixels.")
        if self.layout not in LAYOUTS:
            raise OptionError(f"--layout is '{self.layout}', expected {', '.join(LAYOUTS[:-1])} or {LAYOUTS[-1]}.")

    @property
    def options(self) -> dict[str, list[str]]:
        """By name of the attribute, the command-line option of each value that is not the default."""
        options = {"size": ["--size", str(self.size)]} if self.size is not None else {}
        options |= {"layout": ["--layout", self.layout]} if self.layout != "auto" else {}
        return options | ({"is_strict": ["--strict"]} if self.is_strict else {})

    @property
    def words(self) -> list[str]:
        """The command-line options that ask for this reading."""
        return [word for words in self.options.values() for word in words]


AS_IT_IS = Reading()


def split_source(source: str) -> tuple[str, str]:
    """Returns the two parts of a data set's name: the kind, and the path or function; the second may be empty.

    >>> split_source("folder:photos"), split_source("digits"), split_source("data/own.py:make")
    (('folder', 'photos'), ('digits', ''), ('data/own.py', 'make'))
    """
    if in_file := IN_FILE.fullmatch(source):
        return in_file[1], in_file[2]
    kind, _, path = source.partition(":")
    return kind, path


def short_kind(kind: str) -> str:
    """Returns the first part of a data set's name as records keep it: of a file only its name."""
    return PurePath(kind).name or kind


def user_folder(words: str) -> Path:
    """Returns the absolute path of a folder that a user names, with ``~`` expanded.

    Raises:
        DataError: ``words`` is not a valid path.
    """
    try:
        return Path(words).expanduser().resolve()
    except (RuntimeError, ValueError, OSError) as problem:
        raise DataError(f"The folder {words!r} is not a valid path: {problem}. Choose another folder.") from None


def recorded_name(source: str, size: int | None = None) -> str:
    """Returns the recorded name of a data set: of a path only the last part, because records may be shared.

    Images that were resized on reading are another data set: its name ends in ``@`` and their size.

    Raises:
        DataError: see :func:`user_folder`.
    """
    kind, path = split_source(source)
    name = f"{short_kind(kind)}:{user_folder(path).name.removesuffix('.zip')}" if path else kind
    return name if size is None else f"{name}@{size}"
