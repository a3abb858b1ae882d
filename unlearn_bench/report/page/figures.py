"""The paper's figures as Vega-Lite specifications: curves of metrics along the steps, clouds of features."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from unlearn_bench.report.curves import Curves, Line
from unlearn_bench.report.embedding import Cloud
from unlearn_bench.report.page.charts import tips
from unlearn_bench.report.page.content import Chart
from unlearn_bench.store.records import MetricRecord

SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 2]]


def curve_charts(curves: Curves, metrics: Mapping[str, MetricRecord]) -> list[Chart]:
    """Returns a chart for each metric along the steps: thin lines are configurations, thick ones their mean."""
    charts = []
    for name in dict.fromkeys(line.metric for line in curves.lines):
        lines = [line for line in curves.lines if line.metric == name]
        heading = metrics[name].heading if name in metrics else name
        ends = [f"{line.label} ends at {line.mean[-1][1]:.4g}" for line in lines if line.level is None and line.mean]
        levels = [f"{line.label} is at {line.level:.4g}" for line in lines if line.level is not None]
        charts.append(
            Chart(heading, f"{heading} along the steps: {', '.join(ends + levels)}.", _curve_spec(lines, heading))
        )
    return charts


def _curve_spec(lines: Sequence[Line], heading: str) -> dict[str, Any]:
    mean = [
        {"Method": line.label, "step": step, "value": value, "Step": str(step), "Mean": f"{value:.4g}"}
        for line in lines
        for step, value in line.mean
    ]
    single = [
        {"Method": line.label, "step": step, "value": value, "run": f"{line.label} {k}"}
        for line in lines
        for k, trace in enumerate(line.traces)
        for step, value in trace.points
    ]
    levels = [
        {"Reference": line.label, "value": line.level, "Value": f"{line.level:.4g}"}
        for line in lines
        if line.level is not None
    ]
    x = {"field": "step", "type": "quantitative", "title": "iterations"}
    y = {"field": "value", "type": "quantitative", "title": heading, "scale": {"zero": False}}
    names = list(dict.fromkeys(point["Method"] for point in mean))
    color = {"field": "Method", "type": "nominal", "sort": names, "legend": {"orient": "top", "title": None}}
    dash = {
        "field": "Method",
        "type": "nominal",
        "sort": names,
        "scale": {"domain": names, "range": DASHES[: len(names)]},
    }
    shape = {
        "field": "Method",
        "type": "nominal",
        "sort": names,
        "scale": {"domain": names, "range": SHAPES[: len(names)]},
    }
    layers: list[dict[str, Any]] = [
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
    return {"height": 280, "layer": layers}


def cloud_chart(cloud: Cloud, classes: Sequence[str], title: str) -> Chart:
    """Returns a model's features in two dimensions: classes by colour, the forget set as crosses."""
    values = [
        {
            "x": _rounded(x),
            "y": _rounded(y),
            "Class": classes[label],
            "set": "forget set" if forgotten else "retain set",
        }
        for (x, y), label, forgotten in zip(
            cloud.points.tolist(), cloud.labels.tolist(), cloud.is_forget.tolist(), strict=True
        )
    ]
    axis = {"type": "quantitative", "axis": None, "scale": {"zero": False}}
    shape = {
        "field": "set",
        "type": "nominal",
        "scale": {"domain": ["retain set", "forget set"], "range": ["circle", "cross"]},
        "legend": {"orient": "top", "title": None},
    }
    forgotten = int(cloud.is_forget.sum())
    return Chart(
        title=cloud.title,
        alt=f"{title}, {cloud.title}: {len(values)} training images, {forgotten} of them in the forget set.",
        spec={
            "height": 320,
            "data": {"values": values},
            "mark": {"type": "point", "filled": True, "opacity": 0.75},
            "encoding": {
                "x": {"field": "x", **axis},
                "y": {"field": "y", **axis},
                "color": {
                    "field": "Class",
                    "type": "nominal",
                    "sort": list(classes),
                    "scale": {"scheme": "tableau20"},
                    "legend": {"orient": "bottom", "columns": 5, "title": None} if len(classes) <= 20 else None,
                },
                "shape": shape,
                "size": {"condition": {"test": "datum.set === 'forget set'", "value": 60}, "value": 14},
                "tooltip": tips("Class", "set"),
            },
        },
    )


def _rounded(value: float) -> float:
    return float(f"{value:.4g}") if math.isfinite(value) else 0.0
