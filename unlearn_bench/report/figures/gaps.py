"""The project's own figure: every method's gap to the retrained model, in every metric."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unlearn_bench.errors import OptionError
from unlearn_bench.report.figures import blank
from unlearn_bench.report.floor import Floor
from unlearn_bench.report.tables import Table

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
    rows = [row for row in table.rows if not row.is_reference and any(cell.gap is not None for cell in row.cells)]
    if not rows:
        raise OptionError(f"Table {table.name} has no method with a gap to show. Make its runs first.")
    size = (1.8 + PANEL_WIDTH * len(table.columns), 1.2 + ROW_HEIGHT * len(rows))
    figure = blank(*size)
    panels = figure.subplots(1, len(table.columns), sharey=True, squeeze=False)[0]
    heights = list(range(len(rows), 0, -1))
    for position, (panel, column) in enumerate(zip(panels, table.columns, strict=True)):
        if column.name in floors:
            panel.axvspan(0, floors[column.name].typical, color="0.85", linewidth=0)
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
    band = " Grey: within what two retrained models typically differ by." if floors else ""
    figure.suptitle(f"Table {table.name}. {table.title}", fontsize=10)
    figure.supxlabel(f"Gap to retrained; filled: the smallest.{band}", fontsize=8)
    return figure
