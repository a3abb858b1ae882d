"""Reads Parquet copies of image data sets, which have a column of image files and columns of labels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unlearn_bench.core.errors import DataError
from unlearn_bench.core.progress import Progress
from unlearn_bench.data import Labels, Pixels
from unlearn_bench.data.decode import decode

SHARD = re.compile(r"(.+)-(\d{1,9})-of-(\d{1,9})(-\w+)?\.parquet")  # public copies may end in a hash


def complete_shards(files: Iterable[Path]) -> list[Path]:
    """Returns the shards of one split, sorted by path; an empty list if there are none.

    A name such as ``train-00000-of-00002.parquet`` contains the number of shards. Files without such a number are
    returned without this check.

    Raises:
        DataError: a shard is missing, exists twice, or belongs to another set than the others.
    """
    paths = sorted(files)
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


def read_parquet(
    files: Sequence[Path], *, image: str, labels: Sequence[str], progress: Progress, task: str
) -> tuple[Pixels, list[Labels]]:
    """Returns the pixels (N, C, H, W) uint8 and each column of labels (N,) int64 of the shards, in file order.

    Args:
        files: the shards of one split.
        image: column of image files, either bytes or ``{bytes, path}``.
        labels: columns of integer labels.
        progress, task: see :func:`unlearn_bench.data.decode.decode`.

    Raises:
        DataError: a file is not Parquet, a column is missing, or an image cannot be read.
    """
    # imported here so that other commands start a third of a second sooner
    import pandas as pd
    import pyarrow

    frames = []
    for file in files:
        try:
            frames.append(pd.read_parquet(file, columns=[image, *labels]))
        except (pyarrow.ArrowException, OSError, ValueError) as problem:
            columns = " and ".join(f"'{column}'" for column in (image, *labels))
            raise DataError(
                f"{file} cannot be read as Parquet with the columns {columns}: {str(problem).splitlines()[0]}. "
                "Download it again."
            ) from None
    table = pd.concat(frames, ignore_index=True)

    folder = files[0].parent
    for label in labels:
        if not pd.api.types.is_integer_dtype(table[label]) or table[label].isna().any() or (table[label] < 0).any():
            raise DataError(
                f"The column '{label}' in {folder} contains values other than whole numbers from 0. Correct the column."
            )
    if table.empty:
        raise DataError(f"{files[0]} and the other shards of its split have no rows. Download them again.")

    def content(cell: Any) -> bytes:
        file = cell.get("bytes") if isinstance(cell, dict) else cell
        if not isinstance(file, bytes):
            raise ValueError(f"the column '{image}' contains no image file in this row")
        return file

    pixels = decode(table[image].tolist(), content, lambda row: f"Image {row} in {folder}", progress, task)
    return pixels, [table[label].to_numpy(dtype=np.int64) for label in labels]
