"""Parquet copies of image data sets: a column of image files, a column of labels, as public copies have them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unlearn_bench.data import Labels, Pixels
from unlearn_bench.data.decode import decode
from unlearn_bench.errors import DataError
from unlearn_bench.progress import Progress

SHARD = re.compile(r"(.+)-(\d{1,9})-of-(\d{1,9})(-\w+)?\.parquet")  # public copies may end in a hash


def complete_shards(files: Iterable[Path]) -> list[Path]:
    """Returns the shards of one split in order of their paths; none where there are none.

    A name such as ``train-00000-of-00002.parquet`` says how many shards there are. Files that are not numbered in this
    way are taken as they are.

    Raises:
        DataError: a shard is missing, lies there twice, or belongs to another set than the others.
    """
    found = sorted(files)
    parts = [SHARD.fullmatch(file.name) for file in found]
    totals = [int(part[3]) if part else None for part in parts]
    for file, total in zip(found, totals, strict=True):
        if total != totals[0]:
            raise DataError(f"{found[0]} and {file} are of different sets of shards. Keep one set.")
    there: dict[str | int, Path] = {}
    for file, part in zip(found, parts, strict=True):
        name = int(part[2]) if part else file.name
        if name in there:
            raise DataError(f"{there[name]} and {file} are the same shard. Keep one of them.")
        there[name] = file
    total = totals[0] if totals else None
    if total is None or (len(there) == total and there.keys() == set(range(total))):
        return found
    lacking = next((number for number in range(total) if number not in there), None)
    if lacking is None:
        raise DataError(f"{found[-1]} is one shard too many: they are numbered from 0. Remove it.")
    start, number, of, end = parts[0].groups()  # type: ignore[union-attr]  # it has a total
    missing = found[0].with_name(f"{start}-{lacking:0{len(number)}}-of-{of}{'-*' if end else ''}.parquet")
    raise DataError(f"{missing} is missing: {len(there)} of {total} shards are there. Fetch it, or remove the others.")


def read_parquet(
    files: Sequence[Path], *, image: str, labels: Sequence[str], progress: Progress, task: str
) -> tuple[Pixels, list[Labels]]:
    """Returns pixels (N, C, H, W) uint8 and each column of labels (N,) int64 of the shards, in file order.

    Args:
        files: the shards of one split.
        image: column of image files, either bytes or ``{bytes, path}``.
        labels: columns of integer labels.
        progress, task: told about decoding.

    Raises:
        DataError: a file that is not Parquet, a column that is missing, or an image that cannot be read.
    """
    # imported where it is needed: commands that read no such file start a third of a second sooner
    import pandas as pd
    import pyarrow

    frames = []
    for file in files:
        try:
            frames.append(pd.read_parquet(file, columns=[image, *labels]))
        except (pyarrow.ArrowException, OSError, ValueError) as problem:
            columns = " and ".join(f"'{column}'" for column in (image, *labels))
            raise DataError(
                f"{file} is not Parquet with the columns {columns}: {str(problem).splitlines()[0]}."
            ) from None
    table = pd.concat(frames, ignore_index=True)

    where = files[0].parent
    for label in labels:
        if not pd.api.types.is_integer_dtype(table[label]) or table[label].isna().any() or (table[label] < 0).any():
            raise DataError(f"The column '{label}' of {where} holds other values than whole numbers from 0. Mend it.")
    if table.empty:
        raise DataError(f"{files[0]} and its like hold no rows. Fetch them again.")

    def content(cell: Any) -> bytes:
        found = cell.get("bytes") if isinstance(cell, dict) else cell
        if not isinstance(found, bytes):
            raise ValueError(f"the column '{image}' holds no image file there")
        return found

    pixels = decode(table[image].tolist(), content, lambda row: f"Image {row} of {where}", progress, task)
    return pixels, [table[label].to_numpy(dtype=np.int64) for label in labels]
