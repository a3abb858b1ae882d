"""Files beside the database: written durably, and never read unless intact."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unlearn_bench.errors import FileError
from unlearn_bench.processes import is_running, this_host

PART = ".part"


@contextmanager
def durable(target: Path) -> Iterator[Path]:
    """Yields a file to write; it takes the place of ``target`` once it is on disk as a whole.

    Raises:
        FileError: the file cannot be written, as on a full disk; ``target`` stays as it was. Or it is a device, a pipe
            or a folder, which no file may replace.
    """
    target = Path(os.path.realpath(target))  # of a link, what it leads to
    if target.exists() and not target.is_file():
        raise FileError(f"{target} is no file that can be replaced. Name another place, then go on.")
    part = target.with_name(f".{target.name}.{_host_tag()}.{os.getpid()}{PART}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("r+b") as written:  # Windows flushes nothing that is open for reading alone
            os.fsync(written.fileno())
        part.replace(target)
        _flush_folder(target.parent)
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise FileError(f"{target} cannot be written: {reason}. Make room or name another place, then go on.") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def abandoned(folder: Path) -> list[Path]:
    """Returns the half-written files of processes of this machine that are gone, as after SIGKILL."""
    pattern = re.compile(rf"\..*\.{_host_tag()}\.(\d+){re.escape(PART)}")
    named = ((file, pattern.fullmatch(file.name)) for file in folder.glob(f".*{PART}"))
    return sorted(file for file, found in named if found and not is_running(int(found[1])))


def _host_tag() -> str:
    return this_host()[:8]


def _flush_folder(folder: Path) -> None:
    """Puts a renaming on disk; not every system lets a folder be opened for that."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # some network file systems refuse; the file itself is on disk
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


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
