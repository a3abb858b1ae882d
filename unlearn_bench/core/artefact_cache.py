"""Copies of artefacts of shared storage on this machine: bounded, and shared by its processes."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from platformdirs import user_cache_path

from unlearn_bench.core.errors import OptionError
from unlearn_bench.core.files import abandoned

VARIABLE = "UNLEARN_BENCH_ARTEFACT_CACHE_GB"
DEFAULT_GB = 10.0
RECENT_SECONDS = 60.0  # between the check of a copy and the end of reading it, no process deletes it


def folder() -> Path:
    """Returns the folder of all copies, in UNLEARN_BENCH_CACHE or else in the platform's cache folder."""
    return Path(os.environ.get("UNLEARN_BENCH_CACHE") or user_cache_path("unlearn-bench")) / "artefacts"


def limit_bytes() -> float:
    """Returns the largest size of all copies together.

    Raises:
        OptionError: the variable UNLEARN_BENCH_ARTEFACT_CACHE_GB is not a number of gigabytes.
    """
    text = os.environ.get(VARIABLE, "")
    try:
        size = float(text or DEFAULT_GB)
        if not size >= 0:
            raise ValueError
    except ValueError:
        raise OptionError(f"{VARIABLE} is '{text}', expected a number of gigabytes such as {DEFAULT_GB:g}.") from None
    return size * 1e9


def mark_used(file: Path) -> None:
    """Marks a copy as used now."""
    with contextlib.suppress(OSError):  # another user's file, or deleted at this moment
        os.utime(file)


def trim() -> None:
    """Deletes the copies that were not used for longest, until the others fit, and what killed processes left.

    A copy that was used in the last minute stays, because a process may be about to read it.
    """
    copies: list[tuple[float, int, Path]] = []
    for kind in (path for path in folder().glob("*/*") if path.is_dir()):
        for file in abandoned(kind):
            _delete(file)
        for file in kind.iterdir():
            with contextlib.suppress(OSError):  # another process deletes as well
                state = file.stat()
                copies.append((state.st_mtime, state.st_size, file))
    excess = sum(size for _, size, _ in copies) - limit_bytes()
    for used, size, file in sorted(copies):
        if excess <= 0 or time.time() - used < RECENT_SECONDS:
            return
        _delete(file)
        excess -= size


def _delete(file: Path) -> None:
    with contextlib.suppress(OSError):  # Windows keeps a file that another process has open
        file.unlink(missing_ok=True)
