"""The memory that this process can still get, with the limit of a container, which the system enforces by killing."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

# limit and use of a container, in version 2 and version 1 of Linux's control groups
GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def available_memory() -> int | None:
    """Returns the bytes that this process can still get without swapping; None if the system does not tell."""
    known = [value for value in (_of_machine(), *(_of_group(*map(Path, group)) for group in GROUPS)) if value]
    return min(known) if known else None


def in_gib(size: float) -> str:
    """Returns a number of bytes as text in GiB, with a decimal below 10.

    >>> in_gib(3 * 2**29), in_gib(2**34)
    ('1.5 GiB', '16 GiB')
    """
    return f"{size / 2**30:.1f} GiB" if size < 10 * 2**30 else f"{size / 2**30:,.0f} GiB"


def _of_machine() -> int | None:
    with contextlib.suppress(OSError):
        if available := re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE):
            return int(available[1]) * 1024
    with contextlib.suppress(AttributeError, ValueError, OSError):  # macOS does not tell what is free, Windows nothing
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def _of_group(limit: Path, used: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):  # no limit is the word "max"
        return max(1, int(limit.read_text()) - int(used.read_text()) + _reclaimable(used.with_name("memory.stat")))
    return None


def _reclaimable(statistics: Path) -> int:
    """Returns the bytes of cached files, which count as used and are freed when memory is needed."""
    cached = re.search(r"^(?:total_)?inactive_file (\d+)$", statistics.read_text(), re.MULTILINE)
    return int(cached[1]) if cached else 0
