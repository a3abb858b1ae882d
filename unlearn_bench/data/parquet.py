"""Reads Parquet copies of image data sets, which have a column of image files and columns of labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unlearn_bench.core.errors import DataError
from unlearn_bench.core.files import file_digest
from unlearn_bench.core.progress import Progress
from unlearn_bench.data import Labels, Pixels
from unlearn_bench.data.decode import decode
from unlearn_bench.data.tree import is_litter

SHARD = re.compile(r"(.+)-(\d{1,9})-of-(\d{1,9})(-\w+)?\.parquet")  # public copies may end in a hash


def complete_shards(files: Iterable[Path]) -> list[Path]:
    """Returns the shards of one split, sorted by path; an empty list if there are none.

    A name such as ``train-00000-of-00002.parquet`` contains the number of shards. Files without such a number are
    returned without this check.

    Raises:
        DataError: a shard is missing, exists twice, or belongs to another set than the others; or files without such
            a number lie in several folders.
    """
    paths = sorted(file for file in files if not is_litter(file.name))
    parts = [SHARD.fullmatch(path.name) for path in paths]
    totals = [int(part[3]) if part else None for part in parts]
    for file, total in zip(paths, totals, strict=True):
        if total != totals[0]:
            raise DataError(f"{paths[0]} and {file} belong to different sets of shards. Keep one set.")
    shards: dict[str | int, Path] = {}
    for file, part in zip(paths, parts, strict=True):
        name = int(part[2]) if part else file.name
        if name in shards:
            raise DataError(f"{shards[name]} and {file} are the same shard. Keep one of them.")
        shards[name] = file
    total = totals[0] if totals else None
    if total is None and len(folders := {file.parent for file in paths}) > 1:
        one, other = sorted(folders)[:2]
        raise DataError(f"{one} and {other} both have files of one split, perhaps copies. Keep one folder.")
    _check_copies(paths)
    if total is None or (len(shards) == total and shards.keys() == set(range(total))):
        return paths
    lacking = next((number for number in range(total) if number not in shards), None)
    if lacking is None:
        raise DataError(f"{paths[-1]} is not one of the {total} shards: they are numbered from 0. Remove it.")
    start, number, of, end = parts[0].groups()  # type: ignore[union-attr]  # it has a total
    missing = paths[0].with_name(f"{start}-{lacking:0{len(number)}}-of-{of}{'-*' if end else ''}.parquet")
    raise DataError(
        f"{missing} is missing: {len(shards)} of {total} shards are present. Download it, or remove the others."
    )


def _check_copies(files: Sequence[Path]) -> None:
    """Raises DataError if two files have the same content."""
    seen: dict[tuple[int, str], Path] = {}
    sizes = Counter(file.stat().st_size for file in files if file.is_file())
    for file in files:
        if file.is_file() and sizes[size := file.stat().st_size] > 1:
            first = seen.setdefault((size, file_digest(file)), file)
            if first != file:
                raise DataError(f"{first} and {file} have the same content. Keep one of them.")


def read_parquet(
    files: Sequence[Path],
    *,
    image: Sequence[str],
    labels: Sequence[Sequence[str]],
    progress: Progress,
    task: str,
) -> tuple[Pixels, list[Labels]]:
    """Returns the pixels (N, C, H, W) uint8 and each column of labels (N,) int64 of the shards, in file order.

    Args:
        files: the shards of one split.
        image: the names that the column of image files, either bytes or ``{bytes, path}``, may have.
        labels: for each column of integer labels, the names that it may have.
        progress, task: see :func:`unlearn_bench.data.decode.decode`.

    Raises:
        DataError: a file is not Parquet, a column is missing, or an image cannot be read.
    """
    wanted = [image, *labels]
    present = schema_of(files[0], [names[0] for names in wanted]).names
    chosen = [next((name for name in names if name in present), None) for names in wanted]
    if None in chosen:
        expected = " and ".join(f"'{names[0]}'" for names in wanted)
        raise DataError(
            f"{files[0]} has the columns {', '.join(present)}, expected columns such as {expected}. Rename its columns."
        )
    image_column, *label_columns = [name for name in chosen if name is not None]
    table = read_table(files, [image_column, *label_columns])
    for name in label_columns:
        check_labels(table[name], name, files[0].parent)
    where = files[0].parent
    cells = table[image_column].tolist()
    pixels = decode(cells, image_bytes, lambda row: f"Image {row} in {where}", progress, task)
    return pixels, [table[name].to_numpy(dtype=np.int64) for name in label_columns]


def schema_of(file: Path, columns: Sequence[str]) -> Any:
    """Returns the Arrow schema of a Parquet file; ``columns`` are named in the message.

    Raises:
        DataError: it cannot be read.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.read_schema(file)
    except (pyarrow.ArrowException, OSError, ValueError) as problem:
        raise DataError(_unreadable(file, columns, problem)) from None


def read_table(files: Sequence[Path], columns: Sequence[str]) -> Any:
    """Returns these columns of the shards of one split, a pandas DataFrame with at least one row.

    Raises:
        DataError: a file cannot be read or lacks a column, or there are no rows.
    """
    # imported here so that other commands start a third of a second sooner
    import pandas as pd
    import pyarrow

    frames = []
    for file in files:
        try:
            frames.append(pd.read_parquet(file, columns=list(columns)))
        except (pyarrow.ArrowException, OSError, ValueError) as problem:
            raise DataError(_unreadable(file, columns, problem)) from None
    table = pd.concat(frames, ignore_index=True)
    if table.empty:
        raise DataError(f"{files[0]} and the other shards of its split have no rows. Download them again.")
    return table


def check_labels(values: Any, column: str, folder: Path) -> None:
    """Raises DataError if a column of labels, a pandas Series, contains other values than whole numbers from 0."""
    from pandas.api.types import is_integer_dtype

    if not is_integer_dtype(values) or values.isna().any() or (values < 0).any():
        raise DataError(
            f"The column '{column}' in {folder} contains values other than whole numbers from 0. Correct the column."
        )


def image_bytes(cell: Any) -> bytes:
    """Returns the image file in a cell. Raises ValueError if there is none, but for example only a path."""
    file = cell.get("bytes") if isinstance(cell, dict) else cell
    if not isinstance(file, bytes):
        raise ValueError("its row contains no image file")
    return file


def _unreadable(file: Path, columns: Sequence[str], problem: Exception) -> str:
    named = " and ".join(f"'{column}'" for column in columns)
    reason = (str(problem).splitlines() or [type(problem).__name__])[0]
    return f"{file} cannot be read as Parquet with the columns {named}: {reason}. Download it again."
