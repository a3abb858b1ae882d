"""Text from outside, made harmless for the program that shows it."""

from __future__ import annotations

from typing import Any


def inert(value: Any) -> Any:
    """Returns a cell of a CSV file; text that a spreadsheet would execute as a formula gets a leading apostrophe.

    >>> inert("=1+1"), inert("ft"), inert(-1)
    ("'=1+1", 'ft', -1)
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
