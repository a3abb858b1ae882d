"""Identifies this machine, and tells which of its processes run."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import uuid
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def this_host() -> str:
    """Returns a hash of this machine, its boot and its process namespace, so that containers differ from their host."""
    parts = [platform.node()]
    for file in ("/etc/machine-id", "/proc/sys/kernel/random/boot_id"):
        with contextlib.suppress(OSError):
            parts.append(Path(file).read_text().strip())
    if len(parts) == 1:  # only then: without a network card, getnode() differs from process to process
        parts.append(str(uuid.getnode()))
    with contextlib.suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def is_running(pid: int) -> bool:
    """Returns whether a process of this machine runs; True if the system cannot tell."""
    if os.name != "posix":
        return True  # on Windows, os.kill would end the process
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
