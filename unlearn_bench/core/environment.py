"""Versions of the packages and of the code."""

from __future__ import annotations

import platform
import subprocess
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from unlearn_bench import __version__

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "sqlalchemy")


@lru_cache(maxsize=1)
def packages() -> dict[str, str]:
    """Returns the versions of Python and of every package that affects results."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


@lru_cache(maxsize=1)
def code_version() -> str:
    """Returns the version; in a git checkout followed by the commit, with ``-dirty`` if tracked files are changed."""
    root = Path(__file__).resolve().parent.parent.parent
    if not (root / ".git").exists():
        return __version__
    try:
        description = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return __version__
    return f"{__version__}+{description.stdout.strip()}"
