"""How long work tells where it stands: a callable, so that the library never prints."""

from __future__ import annotations

from collections.abc import Callable

# (what is being done, units done, units in all); the same text names the same task
Progress = Callable[[str, int, int], None]


def silent(task: str, done: int, total: int) -> None:
    """Tells nobody."""
