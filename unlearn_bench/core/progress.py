"""The callable through which long work reports progress, so that the library never prints."""

from __future__ import annotations

from collections.abc import Callable

# (task, units done, units in total); calls with the same text report the same task
Progress = Callable[[str, int, int], None]


def silent(task: str, done: int, total: int) -> None:
    """Reports nothing."""
