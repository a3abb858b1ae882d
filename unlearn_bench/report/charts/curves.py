"""Metrics along the steps of methods, a chart for each metric: the paper's figure 3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unlearn_bench.report.charts import tips
from unlearn_bench.report.charts.paper import CROSS, KeyEntry, Panels, panel_width
from unlearn_bench.report.curves import Curves, Line
from unlearn_bench.report.page.content import Chart
from unlearn_bench.store.records import MetricRecord

SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 2]]
GREYS = [("black", "#888"), ("#777", "#bbb"), ("#333", "#999"), ("#999", "#ccc")]  # of means and of configurations
LEVEL_DASHES = [[8, 4], [1, 2], [5, 2, 1, 2]]  # of references
MARKERS = 8  # along a mean on paper
AXIS = 28  # points beside a panel, for the numbers of its axis
NOTE = "Thin: a configuration; thick: their mean, which ends where a configuration ends."


def curve_charts(curves: Curves, metrics: Mapping[str, MetricRecord]) -> list[Chart]:
    """Returns a page's chart for each metric: thin lines are configurations, thick ones their mean."""
    return [
        Chart(heading, _alt(heading, lines), _page_spec(lines, heading))
        for heading, lines in _by_metric(curves, metrics)
    ]


def curve_panels(curves: Curves, metrics: Mapping[str, MetricRecord]) -> Panels:
    """Returns a panel for paper for each metric.

    Methods differ in grey, dashes and markers, references in dashes. A cross marks the end of a configuration whose
    method diverged.
    """
    by_metric = _by_metric(curves, metrics)
    width = panel_width(len(by_metric), each=AXIS)
    charts = [
        Chart(heading, _alt(heading, lines), {"width": width, "height": min(150, width), "layer": _paper_layers(lines)})
        for heading, lines in by_metric
    ]
    return Panels(tuple(charts), tuple(_key(by_metric[0][1])), AXIS)


def _key(lines: Sequence[Line]) -> list[KeyEntry]:
    """Returns what the strokes of a panel mean."""
    entries = [
        KeyEntry(line.label, ({"type": "rule", **stroke, "strokeWidth": 1.6}, _marker(stroke, shape)))
        for line, stroke, shape, _ in _methods(lines)
    ]
    entries += [KeyEntry(line.label, ({"type": "rule", **stroke},)) for line, stroke in _references(lines)]
    if any(trace.diverged and trace.points for line in lines for trace in line.traces):
        entries.append(KeyEntry("diverged", (_cross("black"),)))
    return entries


def mean_points(line: Line) -> list[dict[str, Any]]:
    """Returns the mean over configurations, a point for each step."""
    return [
        {"Method": line.label, "step": step, "value": value, "Step": str(step), "Mean": f"{value:.4g}"}
        for step, value in line.mean
    ]


def single_points(line: Line) -> list[dict[str, Any]]:
    """Returns every configuration, a point for each step."""
    return [
        {"Method": line.label, "step": step, "value": value, "run": f"{line.label} {k}"}
        for k, trace in enumerate(line.traces)
        for step, value in trace.points
    ]


def _by_metric(curves: Curves, metrics: Mapping[str, MetricRecord]) -> list[tuple[str, list[Line]]]:
    """Returns the heading and the lines of each metric."""
    names = dict.fromkeys(line.metric for line in curves.lines)
    return [
        (metrics[name].heading if name in metrics else name, [line for line in curves.lines if line.metric == name])
        for name in names
    ]


def _alt(heading: str, lines: Sequence[Line]) -> str:
    ends = [f"{line.label} ends at {line.mean[-1][1]:.4g}" for line in lines if line.level is None and line.mean]
    levels = [f"{line.label} is at {line.level:.4g}" for line in lines if line.level is not None]
    return f"{heading} along the steps: {', '.join(ends + levels)}."


def _page_spec(lines: Sequence[Line], heading: str) -> dict[str, Any]:
    mean = [point for line in lines for point in mean_points(line)]
    single = [point for line in lines for point in single_points(line)]
    levels = [
        {"Reference": line.label, "value": line.level, "Value": f"{line.level:.4g}"}
        for line in lines
        if line.level is not None
    ]
    return {"height": 280, "layer": _page_layers(mean, single, levels, heading)}


def _page_layers(
    mean: list[dict[str, Any]], single: list[dict[str, Any]], levels: list[dict[str, Any]], heading: str
) -> list[dict[str, Any]]:
    x = {"field": "step", "type": "quantitative", "title": "iterations"}
    y = {"field": "value", "type": "quantitative", "title": heading, "scale": {"zero": False}}
    names = list(dict.fromkeys(point["Method"] for point in mean))
    color = {"field": "Method", "type": "nominal", "sort": names, "legend": {"orient": "top", "title": None}}
    method = {"field": "Method", "type": "nominal", "sort": names}
    dash = {**method, "scale": {"domain": names, "range": DASHES[: len(names)]}}
    shape = {**method, "scale": {"domain": names, "range": SHAPES[: len(names)]}}
    return [
        {
            "data": {"values": single},
            "mark": {"type": "line", "strokeWidth": 0.6, "opacity": 0.5, "tooltip": None},
            "encoding": {"x": x, "y": y, "color": color, "detail": {"field": "run"}},
        },
        {
            "data": {"values": mean},
            "mark": {"type": "line", "strokeWidth": 2, "tooltip": None},
            "encoding": {"x": x, "y": y, "color": color, "strokeDash": dash},
        },
        {
            "data": {"values": mean},
            "mark": {"type": "point", "size": 35, "filled": True},
            "encoding": {"x": x, "y": y, "color": color, "shape": shape, "tooltip": tips("Method", "Step", "Mean")},
        },
        {
            "data": {"values": levels},
            "mark": {"type": "rule", "strokeDash": [4, 4]},
            "encoding": {"y": y, "tooltip": tips("Reference", "Value")},
        },
        {
            "data": {"values": levels},
            "mark": {"type": "text", "align": "left", "baseline": "bottom", "dx": 3, "dy": -2, "tooltip": None},
            "encoding": {"x": {"value": 0}, "y": y, "text": {"field": "Reference"}},
        },
    ]


def _methods(lines: Sequence[Line]) -> list[tuple[Line, dict[str, Any], str, str]]:
    """Returns the lines of methods, each with stroke, marker and the grey of its configurations; sixty differ."""
    looks = []
    for k, line in enumerate(line for line in lines if line.level is None):
        color, thin = GREYS[k % len(GREYS)]
        looks.append((line, {"color": color, "strokeDash": DASHES[k % len(DASHES)]}, SHAPES[k % len(SHAPES)], thin))
    return looks


def _references(lines: Sequence[Line]) -> list[tuple[Line, dict[str, Any]]]:
    """Returns the lines of references, each with its stroke."""
    return [
        (line, {"color": "#333", "strokeDash": LEVEL_DASHES[k % len(LEVEL_DASHES)], "strokeWidth": 0.9})
        for k, line in enumerate(line for line in lines if line.level is not None)
    ]


def _marker(stroke: Mapping[str, Any], shape: str) -> dict[str, Any]:
    return {"type": "point", "filled": True, "size": 18, "shape": shape, "color": stroke["color"]}


def _cross(color: str) -> dict[str, Any]:
    return {"type": "point", "shape": CROSS, "size": 26, "strokeWidth": 1, "filled": False, "color": color}


def _paper_layers(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """Returns the references below all that moves."""
    x = {"field": "step", "type": "quantitative", "title": "iterations", "axis": {"grid": False, "tickCount": 5}}
    y: dict[str, Any] = {"field": "value", "type": "quantitative", "title": None, "scale": {"zero": False}}
    y["axis"] = {"tickCount": 5, "labelFlush": True}  # else a number at the top would lift the panel's title
    layers = [
        {
            "data": {"values": [{"Reference": line.label, "value": line.level}]},
            "mark": {"type": "rule", **stroke},
            "encoding": {"y": y},
        }
        for line, stroke in _references(lines)
    ]
    for line, stroke, shape, grey in _methods(lines):
        single, mean = single_points(line), mean_points(line)
        ends = [
            {"Method": line.label, "step": trace.points[-1][0], "value": trace.points[-1][1]}
            for trace in line.traces
            if trace.diverged and trace.points
        ]
        thin = {"type": "line", **stroke, "color": grey, "strokeWidth": 0.5}
        parts: list[tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]] = [
            (single, thin, {"detail": {"field": "run"}}),
            (mean, {"type": "line", **stroke, "strokeWidth": 1.6}, {}),
            (mean[:: max(1, len(mean) // MARKERS)], _marker(stroke, shape), {}),
            (ends, _cross(stroke["color"]), {}),
        ]
        layers += [
            {"data": {"values": points}, "mark": mark, "encoding": {"x": x, "y": y, **more}}
            for points, mark, more in parts
            if points
        ]
    return layers
