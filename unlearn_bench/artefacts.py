"""Files beside the database: written durably, and never read unless intact."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def durable(target: Path) -> Iterator[Path]:
    """Yields a file to write; it takes the place of ``target`` once it is on disk as a whole.

    Raises:
        OSError: the folder cannot be written; ``target`` stays as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        yield part
        with part.open("r+b") as written:  # Windows flushes nothing that is open for reading alone
            os.fsync(written.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def is_intact(file: Path, digest: str) -> bool:
    """Returns whether the file is there and has that SHA-256."""
    return file.is_file() and file_digest(file) == digest


def file_digest(file: Path) -> str:
    """Returns the SHA-256 of a file."""
    content = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            content.update(block)
    return content.hexdigest()
