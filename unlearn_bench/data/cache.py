"""Decoded images kept on disk, so that a data set is decoded once: safetensors in the user's cache folder."""

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

from unlearn_bench.artefacts import durable
from unlearn_bench.data import DatasetReader, Location, Splits
from unlearn_bench.data.loading import canonical
from unlearn_bench.errors import FileError
from unlearn_bench.spec import digest_of

VERSION = 3  # of the layout below; another number makes every cached file unknown
NAMES = ("classes", "fine_classes")


def cached(reader: DatasetReader, location: Location) -> Splits:
    """Returns what the reader finds, in canonical order, from the cache where its files are unchanged.

    A file counts as unchanged by path, size and time of change. What the cache holds is data, not truth: the content
    hash of a run is computed from the pixels on every load. A file that is not what was written is not read either:
    its images would be those of another data set, in silence.
    """
    files = reader.files(location) if reader.files else []
    if not files:
        return canonical(reader.function(location), drop_overlap=reader.is_official)
    target = folder() / f"{_fingerprint(reader, files)}.safetensors"
    with contextlib.suppress(OSError, SafetensorError, LookupError, ValueError, TypeError):
        return _read(target)
    splits = canonical(reader.function(location), drop_overlap=reader.is_official)
    with contextlib.suppress(FileError, SafetensorError):  # a cache that cannot be written costs time, not results
        _write(splits, target)
    return splits


def folder() -> Path:
    """Returns the cache folder: UNLEARN_BENCH_CACHE, else the platform's own place."""
    return Path(os.environ.get("UNLEARN_BENCH_CACHE") or user_cache_path("unlearn-bench")) / "images"


def _fingerprint(reader: DatasetReader, files: list[Path]) -> str:
    # a name may hold bytes that are no text
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
    with durable(target) as part:
        save_file(arrays, part, metadata=metadata)


def _digest(fingerprint: str, arrays: Mapping[str, Any], *names: tuple[str, ...]) -> str:
    """Returns the SHA-256 of a file's content and of the name that it must lie under."""
    content = hashlib.sha256(json.dumps([fingerprint, sorted(arrays), *names]).encode())
    for name in sorted(arrays):
        content.update(f"{arrays[name].dtype} {arrays[name].shape}".encode())
        content.update(np.ascontiguousarray(arrays[name]).data)
    return content.hexdigest()
