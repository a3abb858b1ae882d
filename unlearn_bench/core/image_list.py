"""Lists of training images in a file, a path or an index a line, and the names under which they are recorded."""

from __future__ import annotations

import csv
import hashlib
import re
from pathlib import Path

from unlearn_bench.core.errors import DataError

COLUMNS = ("file_name", "filename", "file", "path", "image", "index")  # headers of a CSV file
COMMENT = "#"
RECORDED = re.compile(r"\d+-images-[0-9a-f]{12}")


def read_list(words: str) -> tuple[str, ...]:
    """Returns the lines of a file without comments and blank lines, or a column of a CSV file, in their order.

    Args:
        words: the path of the file. The name of a CSV file ends in ``.csv``; it may have a header.

    Raises:
        DataError: the file cannot be read, is not text, or lists nothing.
    """
    file = Path(words)
    try:
        text = file.expanduser().read_text(encoding="utf-8-sig")
        lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(COMMENT)]
        found = _column(lines, words) if file.suffix.lower() == ".csv" else [line.strip() for line in lines]
    except OSError as problem:
        raise DataError(f"The list {words} cannot be read: {problem.strerror}. Give a text file of images.") from None
    except (ValueError, RuntimeError, csv.Error) as problem:
        raise DataError(
            f"The list {words!r} is not text in UTF-8: {problem}. Give a text file with a path or an index of a "
            "training image in each line."
        ) from None
    if not found:
        raise DataError(f"The list {words} names no image. Write a path or an index of a training image in each line.")
    return tuple(line.removeprefix("./") for line in found)


def list_name(words: str) -> str:
    """Returns the recorded name of a list: how many lines it has, and a digest of them in alphabetical order.

    Args:
        words: the path of the file, or a recorded name, which stays.

    Raises:
        DataError: see :func:`read_list`.
    """
    if is_recorded(words):
        return words
    lines = read_list(words)
    digest = hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
    return f"{len(lines)}-images-{digest[:12]}"


def is_recorded(words: str) -> bool:
    """Returns whether ``words`` is the recorded name of a list and not a file.

    >>> is_recorded("412-images-3f9a12bc0a1b"), is_recorded("wrong.txt")
    (True, False)
    """
    return RECORDED.fullmatch(words) is not None and not Path(words).is_file()


def _column(lines: list[str], words: str) -> list[str]:
    """Returns the column of images of a CSV file.

    Raises:
        DataError: the file has several columns, and none has a known header.
    """
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines)]
    header = [cell.lower() for cell in rows[0]] if rows else []
    named = next((header.index(name) for name in COLUMNS if name in header), None)
    widest = max((len(row) for row in rows), default=0)
    if named is None and widest > 1:
        raise DataError(
            f"The list {words} has {widest} columns, and none has the header of the images. Call that column "
            f"{COLUMNS[0]}, or write one column."
        )
    column, body = (0, rows) if named is None else (named, rows[1:])
    return [row[column] for row in body if len(row) > column and row[column]]
