"""Figures of what the database holds, one kind a file, legible without colour, by matplotlib (extra ``figures``)."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unlearn_bench.artefacts import durable
from unlearn_bench.errors import OptionError

SUFFIXES = (".png", ".svg", ".pdf")


def blank(width: float, height: float) -> Any:
    """Returns an empty matplotlib figure of that size in inches.

    Raises:
        OptionError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # without pyplot, which would look for a display
    except ModuleNotFoundError:
        raise OptionError(
            "Figures need matplotlib, which is not installed. Install it with: pip install 'unlearn-bench[figures]'"
        ) from None
    return Figure(figsize=(width, height), layout="constrained")


def caption(figure: Any, sentences: Sequence[str]) -> None:
    """Writes sentences below a figure, in lines that fit its width."""
    figure.supxlabel(textwrap.fill(" ".join(sentences), int(17 * figure.get_figwidth())), fontsize=7)


def check_suffix(file: Path) -> None:
    """Checks that the name says what kind of picture is wanted.

    Raises:
        OptionError: another suffix than .png, .svg or .pdf.
    """
    if file.suffix not in SUFFIXES:
        raise OptionError(f"The figure's file is '{file.name}', expected a name that ends in {', '.join(SUFFIXES)}.")


def save(figure: Any, file: Path) -> None:
    """Writes a figure, the same bytes every time.

    Raises:
        OptionError: another suffix than .png, .svg or .pdf.
        FileError: the file cannot be written.
    """
    check_suffix(file)
    from matplotlib import rc_context

    undated = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}[file.suffix]
    with durable(file) as part, rc_context({"svg.hashsalt": "unlearn-bench", "svg.fonttype": "none"}):
        figure.savefig(part, dpi=150, metadata=undated, format=file.suffix[1:])
