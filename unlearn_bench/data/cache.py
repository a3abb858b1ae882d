"""Cache of decoded images, so that a data set is decoded once: safetensors files in the user's cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from unlearn_bench.core.errors import FileError
from unlearn_bench.core.files import atomic_write
from unlearn_bench.core.spec import digest_of
from unlearn_bench.data import DatasetReader, Location, Splits
from unlearn_bench.data.loading import canonical

VERSION = 3  # of the layout below; a new number invalidates every cached file
NAMES = ("classes", "fine_classes")


def cached(reader: DatasetReader, location: Location) -> Splits:
    """Returns the reader's splits in canonical order, from the cache if the reader's files are unchanged.

    A file is unchanged if its path, size and modification time are. The cache is not trusted: the content hash of a run
    is computed from the pixels on every load. A cached file whose content changed after it was written is not read,
    since its images could silently be those of another data set.
    """
    files = reader.files(location) if reader.files else []
    if not files:
        return canonical(reader.function(location), drop_overlap=reader.is_official)
    target = folder() / f"{_fingerprint(reader, files)}.safetensors"
    with contextlib.suppress(OSError, SafetensorError, LookupError, ValueError, TypeError):
        return _read(target)
    splits = canonical(reader.function(location), drop_overlap=reader.is_official)
    with contextlib.suppress(FileError, SafetensorError):  # without a cache the next load only takes longer
        _write(splits, target)
    return splits


def folder() -> Path:
    """Returns the cache folder: UNLEARN_BENCH_CACHE, else the platform's cache folder."""
    return Path(os.environ.get("UNLEARN_BENCH_CACHE") or user_cache_path("unlearn-bench")) / "images"


def _fingerprint(reader: DatasetReader, files: list[Path]) -> str:
    # a name may contain bytes that are not valid text
    names = [(str(file.resolve()).encode(errors="backslashreplace").decode(), file.stat()) for file in sorted(files)]
    states = [(name, state.st_size, state.st_mtime_ns) for name, state in names]
    return digest_of([VERSION, reader.name, reader.revision, states])


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
