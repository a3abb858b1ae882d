"""Metrics along the steps of methods: the paper's figure 3."""

from __future__ import annotations

from typing import Any

from unlearn_bench.report.curves import Curves, Line
from unlearn_bench.report.figures import blank, caption
from unlearn_bench.store.records import MetricRecord

PANEL_WIDTH, HEIGHT = 3.6, 3.4  # inches
STYLES = (("black", "-", "o"), ("0.45", "--", "s"), ("0.25", "-.", "^"), ("0.6", ":", "D"), ("0.1", (0, (5, 1)), "v"))
LEVELS = {"retrained": ("0.3", (0, (1, 1))), "original": ("0.3", (0, (6, 3)))}


def line_plot(title: str, curves: Curves, metrics: dict[str, MetricRecord]) -> Any:
    """Returns a figure with a panel for each metric: thin lines are configurations, thick ones their mean.

    A mean ends where a configuration does; a cross marks the end of one whose method diverged. References are
    horizontal. Methods differ in their strokes and markers, so that nothing depends on colour.

    Args:
        title: of the figure.
        curves: at least one line.
        metrics: what is known of each.
    """
    names = list(dict.fromkeys(line.metric for line in curves.lines))
    figure = blank(PANEL_WIDTH * len(names) + 0.4, HEIGHT)
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    styles = dict(zip(dict.fromkeys(line.label for line in curves.lines if line.level is None), STYLES, strict=False))
    for panel, name in zip(panels, names, strict=True):
        for line in (line for line in curves.lines if line.metric == name):
            if line.level is not None:
                color, stroke = LEVELS.get(line.method, ("0.3", "-"))
                panel.axhline(line.level, color=color, linestyle=stroke, linewidth=1, label=line.label)
            elif line.traces:
                _draw(panel, line, *styles.get(line.label, STYLES[0]))
        panel.set_title(metrics[name].heading if name in metrics else name, fontsize=9)
        panel.set_xlabel("iterations", fontsize=8)
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="y", color="0.9", linewidth=0.6)
    panels[0].legend(fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=10)
    caption(figure, curves.notes)
    return figure


def _draw(panel: Any, line: Line, color: Any, stroke: Any, marker: str) -> None:
    for trace in (trace for trace in line.traces if trace.points):
        panel.plot(*zip(*trace.points, strict=True), color=color, linestyle=stroke, linewidth=0.5, alpha=0.5)
        if trace.diverged:
            panel.plot(*trace.points[-1], "x", color=color, markersize=6)
    mean = line.mean
    if not mean:
        return
    every = max(1, len(mean) // 8)
    panel.plot(
        *zip(*mean, strict=True),
        color=color,
        linestyle=stroke,
        linewidth=1.8,
        marker=marker,
        markersize=4,
        markevery=every,
        label=line.label,
    )
