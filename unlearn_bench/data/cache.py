"""Cache of decoded images, so that a data set is decoded once: safetensors files in the user's cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from unlearn_bench.core.errors import DataNotice, FileError
from unlearn_bench.core.files import atomic_write
from unlearn_bench.core.spec import digest_of
from unlearn_bench.data import DatasetReader, Location, Splits
from unlearn_bench.data.loading import canonical

VERSION = 4  # of the layout below; a new number invalidates every cached file
NAMES = ("classes", "fine_classes")


def cached(reader: DatasetReader, location: Location, files: list[Path]) -> Splits:
    """Returns the reader's splits in canonical order, from the cache if ``files``, those of the reader, are unchanged.

    A file is unchanged if its path, size and modification time are. The cache is not trusted: the content hash of a run
    is computed from the pixels on every load. A cached file whose content changed after it was written is not read,
    since its images could silently be those of another data set.
    """
    if not files:
        return _ordered(reader, location)
    target = folder() / f"{_fingerprint(reader, location, files)}.safetensors"
    with contextlib.suppress(OSError, SafetensorError, LookupError, ValueError, TypeError):
        return _read(target)
    splits = _ordered(reader, location)
    with contextlib.suppress(FileError, SafetensorError):  # without a cache the next load only takes longer
        _write(splits, target)
    return splits


def _ordered(reader: DatasetReader, location: Location) -> Splits:
    splits = reader.function(location)
    ordered = canonical(splits, drop_overlap=reader.is_official)
    dropped = len(splits.test_labels) - len(ordered.test_labels)
    if dropped and reader.reads_by:
        notice = f"{dropped:,} test images are training images too, with the same label; the test split loses them."
        warnings.warn(DataNotice(notice), stacklevel=2)
    return ordered


def folder() -> Path:
    """Returns the cache folder: UNLEARN_BENCH_CACHE, else the platform's cache folder."""
    return Path(os.environ.get("UNLEARN_BENCH_CACHE") or user_cache_path("unlearn-bench")) / "images"


def _fingerprint(reader: DatasetReader, location: Location, files: list[Path]) -> str:
    states = [(_text(file.resolve()), *_state(file)) for file in sorted(files)]
    own: list[Any] = []
    if reader.reads_by:  # the folder of a link, too, is a class
        own = [location.reading.size, location.reading.layout, [_text(file) for file in sorted(files)]]
    return digest_of([VERSION, reader.name, reader.revision, states, *own])


def _text(file: Path) -> str:
    return str(file).encode(errors="backslashreplace").decode()  # a name may contain bytes that are not valid text


def _state(file: Path) -> tuple[int, int]:
    """Returns size and modification time; zeros for a link to nothing, which the reader reports with all others."""
    try:
        state = file.stat()
    except FileNotFoundError:
        return 0, 0
    return state.st_size, state.st_mtime_ns


def _read(file: Path) -> Splits:
    with safe_open(file, framework="numpy") as stored:
        arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118  (not a mapping)
        classes, fine_classes = (tuple(json.loads(stored.metadata()[kind])) for kind in NAMES)
        if stored.metadata()["digest"] != _digest(file.stem, arrays, classes, fine_classes):
            raise ValueError("the cached file is damaged")
    return Splits(**arrays, classes=classes, fine_classes=fine_classes)


def _write(splits: Splits, target: Path) -> None:
    arrays = {name: value for name, value in splits.__dict__.items() if name not in NAMES and value is not None}
    metadata = {kind: json.dumps(getattr(splits, kind)) for kind in NAMES}
    metadata["digest"] = _digest(target.stem, arrays, splits.classes, splits.fine_classes)
    with atomic_write(target) as part:
        save_file(arrays, part, metadata=metadata)


def _digest(fingerprint: str, arrays: Mapping[str, Any], *names: tuple[str, ...]) -> str:
    """Returns the SHA-256 of a file's content and of its own name."""
    content = hashlib.sha256(json.dumps([fingerprint, sorted(arrays), *names]).encode())
    for name in sorted(arrays):
        content.update(f"{arrays[name].dtype} {arrays[name].shape}".encode())
        content.update(np.ascontiguousarray(arrays[name]).data)
    return content.hexdigest()
