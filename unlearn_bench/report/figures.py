"""Figures of what the database holds, by matplotlib (the extra ``figures``)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unlearn_bench.errors import OptionError
from unlearn_bench.report.floor import Floor
from unlearn_bench.report.tables import Table

SUFFIXES = (".png", ".svg", ".pdf")
ROW_HEIGHT, PANEL_WIDTH = 0.32, 1.9  # inches


def gap_plot(table: Table, floors: Mapping[str, Floor]) -> Any:
    """Returns a figure of every method's gap to retrained: a panel for each metric, a line for each method.

    The smallest gap is filled. A grey band reaches to the largest gap between two retrained models, where seeds are
    recorded: within it a method cannot be told from retraining. Nothing depends on colour.

    Args:
        table: with at least one method besides the references.
        floors: by metric; empty where there are none.

    Raises:
        OptionError: matplotlib is not installed, or the table has no method to show.
    """
    try:
        from matplotlib.figure import Figure  # without pyplot, which would look for a display
    except ModuleNotFoundError:
        raise OptionError(
            "Figures need matplotlib, which is not installed. Install it with: pip install 'unlearn-bench[figures]'"
        ) from None
    rows = [row for row in table.rows if not row.is_reference and any(cell.gap is not None for cell in row.cells)]
    if not rows:
        raise OptionError(f"Table {table.name} has no method with a gap to show. Make its runs first.")
    size = (1.8 + PANEL_WIDTH * len(table.columns), 1.2 + ROW_HEIGHT * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(table.columns), sharey=True, squeeze=False)[0]
    heights = list(range(len(rows), 0, -1))
    for position, (panel, column) in enumerate(zip(panels, table.columns, strict=True)):
        if column.name in floors:
            panel.axvspan(0, floors[column.name].largest, color="0.85", linewidth=0)
        for row, height in zip(rows, heights, strict=True):
            cell = row.cells[position]
            if cell.gap is not None:
                panel.plot(
                    cell.gap,
                    height,
                    "o",
                    markersize=6,
                    color="black",
                    markerfacecolor="black" if cell.best else "white",
                )
        panel.set_title(column.heading, fontsize=9)
        panel.set_xlim(left=0)
        panel.margins(x=0.12)
        panel.grid(axis="y", color="0.8", linewidth=0.6)
        panel.set_axisbelow(True)
        panel.tick_params(labelsize=8)
        panel.tick_params(axis="y", length=0)
        panel.spines[["top", "right", "left"]].set_visible(False)
    panels[0].set_yticks(heights, [row.label for row in rows])
    band = " Grey: within the largest gap between two retrained models." if floors else ""
    figure.suptitle(f"Table {table.name}. {table.title}", fontsize=10)
    figure.supxlabel(f"Gap to retrained; filled: the smallest.{band}", fontsize=8)
    return figure


def save(figure: Any, file: Path) -> None:
    """Writes a figure, the same bytes every time.

    Raises:
        OptionError: another suffix than .png, .svg or .pdf, or a file that cannot be written.
    """
    if file.suffix not in SUFFIXES:
        raise OptionError(f"The figure's file is '{file.name}', expected a name that ends in {', '.join(SUFFIXES)}.")
    from matplotlib import rc_context

    undated = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}[file.suffix]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with rc_context({"svg.hashsalt": "unlearn-bench", "svg.fonttype": "none"}):
            figure.savefig(file, dpi=150, metadata=undated)
    except OSError as problem:
        raise OptionError(f"{file} cannot be written: {problem.strerror}. Name another file.") from None
