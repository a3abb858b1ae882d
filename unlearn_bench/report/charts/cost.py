"""What methods cost against how near they come to the retrained model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from unlearn_bench.report.charts import tips
from unlearn_bench.report.page.content import Chart, RowView
from unlearn_bench.report.tables import Table, mean_gap


def pareto_chart(table: Table, rows: Sequence[RowView]) -> Chart | None:
    """Returns cost against mean gap, the methods that none beats in both joined; None where no two methods differ.

    The gap is the mean over the table's metrics, percent as shares, as the claims take it.
    """
    points = []
    for view in rows:
        gap = None if view.row.is_reference else mean_gap(table, view.row)
        if gap is not None and view.cost is not None:
            points.append(
                {
                    "Method": view.row.label,
                    "images": max(view.cost.images, 1.0),  # for the logarithm, of a method that passes none
                    "gap": gap,
                    "Mean gap": f"{gap:.4f}",
                    "Images": f"{view.cost.images:,.0f} forward and backward",
                    "Seconds": f"{view.cost.seconds:.2f}",
                }
            )
    if len({(point["images"], point["gap"]) for point in points}) < 2:
        return None
    front = pareto_front(points)
    retrained = [view.cost.images for view in rows if view.row.method == "retrained" and view.cost]
    names = ", ".join(str(point["Method"]) for point in front)
    return Chart(
        title=f"Cost against gap, table {table.name}",
        alt=f"Images passed against mean gap to retrained. No method is both cheaper and nearer than these: {names}.",
        spec=_pareto_spec(points, front, retrained),
    )


def pareto_front(points: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Returns the points that no other beats in both ``images`` and ``gap``, by ``images``."""
    front: list[Mapping[str, Any]] = []
    for point in sorted(points, key=lambda each: (each["images"], each["gap"])):
        if not front or point["gap"] < front[-1]["gap"]:
            front.append(point)
    return front


def _pareto_spec(
    points: Sequence[Mapping[str, Any]], front: Sequence[Mapping[str, Any]], retrained: Sequence[float]
) -> dict[str, Any]:
    title = "images passed forward and backward, mean of a run"
    x = {"field": "images", "type": "quantitative", "scale": {"type": "log"}, "title": title}
    x["axis"] = {"format": "~s", "tickCount": 5}
    y = {"field": "gap", "type": "quantitative", "title": "mean gap to retrained", "scale": {"zero": True}}
    on = [point["Method"] for point in front]
    marked = [{**point, "front": point["Method"] in on} for point in points]
    fill = {"condition": {"test": "datum.front", "value": {"expr": "mark_color"}}, "value": "transparent"}
    layers: list[dict[str, Any]] = [
        {
            "data": {"values": list(front)},
            "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 1.5, "tooltip": None},
            "encoding": {"x": x, "y": y},
        },
        {
            "data": {"values": marked},
            "mark": {"type": "point", "style": "outline", "size": 70, "strokeWidth": 1.5},
            "encoding": {"x": x, "y": y, "fill": fill, "tooltip": tips("Method", "Mean gap", "Images", "Seconds")},
        },
        {
            "data": {"values": _labels(points)},
            "mark": {"type": "text", "align": "left", "dx": 7, "dy": -5, "tooltip": None},
            "encoding": {"x": x, "y": y, "text": {"field": "Method"}},
        },
    ]
    if retrained:
        rule = [{"images": retrained[0], "Reference": "Retrained", "Images": f"{retrained[0]:,.0f}"}]
        layers.append(
            {
                "data": {"values": rule},
                "mark": {"type": "rule", "strokeDash": [4, 4]},
                "encoding": {"x": x, "tooltip": tips("Reference", "Images")},
            }
        )
    return {"height": 320, "layer": layers}


def _labels(points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns a label for each point, one for those that nearly coincide."""
    labels: list[dict[str, Any]] = []
    for point in points:
        for label in labels:
            if abs(math.log(point["images"] / label["images"])) < 0.1 and abs(point["gap"] - label["gap"]) < 0.01:
                label["Method"] += f", {point['Method']}"
                break
        else:
            labels.append({name: point[name] for name in ("Method", "images", "gap")})
    return labels
