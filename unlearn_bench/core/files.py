"""Files beside the database: written atomically, and read only if their SHA-256 matches."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unlearn_bench.core.errors import FileError
from unlearn_bench.core.processes import is_running, this_host

PART = ".part"


@contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
    """Yields the path of a temporary file. Replaces ``target`` with this file once it is completely on disk.

    Raises:
        FileError: the file cannot be written, for example because the disk is full, and ``target`` is unchanged; or
            ``target`` is a device, a pipe or a folder, which this function never replaces.
    """
    target = Path(os.path.realpath(target))  # follow links, so that the link itself stays
    if target.exists() and not target.is_file():
        raise FileError(f"{target} cannot be replaced, because it is not a regular file. Choose another path.")
    part = target.with_name(f".{target.name}.{_host_tag()}.{os.getpid()}{PART}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("r+b") as stream:  # Windows cannot flush a file that is open only for reading
            os.fsync(stream.fileno())
        part.replace(target)
        _flush_folder(target.parent)
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise FileError(f"{target} cannot be written: {reason}. Free some space or choose another path.") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def abandoned(folder: Path) -> list[Path]:
    """Returns the unfinished files of processes of this machine that no longer run, for example after SIGKILL."""
    pattern = re.compile(rf"\..*\.{_host_tag()}\.(\d+){re.escape(PART)}")
    matches = ((file, pattern.fullmatch(file.name)) for file in folder.glob(f".*{PART}"))
    return sorted(file for file, match in matches if match and not is_running(int(match[1])))


def _host_tag() -> str:
    return this_host()[:8]


def _flush_folder(folder: Path) -> None:
    """Flushes a rename to disk. Only POSIX systems can open a folder for this."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # some network file systems refuse; the file is on disk already
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def is_intact(file: Path, digest: str) -> bool:
    """Returns whether the file exists and its SHA-256 is ``digest``."""
    return file.is_file() and file_digest(file) == digest


def file_digest(file: Path) -> str:
    """Returns the SHA-256 of a file, 64 hexadecimal digits."""
    content = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            content.update(block)
    return content.hexdigest()
