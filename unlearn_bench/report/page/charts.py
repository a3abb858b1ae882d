"""Charts of a table as Vega-Lite specifications: data and marks, no colours of a theme and no width of a screen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from unlearn_bench.report.floor import Floor
from unlearn_bench.report.page.content import Chart, RowView
from unlearn_bench.report.tables import Table, mean_gap

ROW_HEIGHT = 22  # pixels


def gap_charts(table: Table, floors: Mapping[str, Floor]) -> list[Chart]:
    """Returns a chart for each metric: every method's gap to retrained, the floor's band where it is known."""
    charts = []
    for position, column in enumerate(table.columns):
        points = [
            {
                "Method": row.label,
                "gap": cell.gap,
                "smallest": "smallest" if cell.best else "not significantly larger" if cell.tied else "larger",
                "Gap": f"{cell.gap:.4g} {column.unit}".strip(),
                "Configurations": f"{cell.n} of {row.expected}",
            }
            for row in table.rows
            if not row.is_reference and (cell := row.cells[position]).gap is not None
        ]
        if not points:
            continue
        floor = floors.get(column.name)
        best = [str(point["Method"]) for point in points if point["smallest"] == "smallest"]
        band = f" Two retrained models typically differ by {floor.typical:.3g}." if floor else ""
        charts.append(
            Chart(
                title=column.heading,
                alt=f"Gap to retrained in {column.heading}: the smallest is {' and '.join(best) or 'not known'}, "
                f"the largest {max(points, key=_gap)['Gap']} of {max(points, key=_gap)['Method']}.{band}",
                spec=_gap_spec(points, floor, column.heading),
            )
        )
    return charts


def _gap(point: Mapping[str, Any]) -> float:
    return float(point["gap"])


def _gap_spec(points: Sequence[Mapping[str, Any]], floor: Floor | None, heading: str) -> dict[str, Any]:
    largest = max([_gap(point) for point in points] + ([floor.typical] if floor else []))
    scale = {"domainMin": 0} if largest else {"domain": [0, 1]}  # else a single 0 would stand in the middle
    x = {"field": "gap", "type": "quantitative", "title": f"gap to retrained, {heading}", "scale": scale}
    x["axis"] = {"tickCount": 4}
    y = {"field": "Method", "type": "nominal", "sort": None, "title": None, "axis": {"grid": True, "labelLimit": 240}}
    layers: list[dict[str, Any]] = []
    if floor:
        layers.append(
            {
                "data": {"values": [{"low": 0, "high": floor.typical}]},
                "mark": {"type": "rect", "color": {"expr": "band_color"}, "tooltip": None},
                "encoding": {"x": {"field": "low", "type": "quantitative"}, "x2": {"field": "high"}},
            }
        )
    layers.append(
        {
            "data": {"values": list(points)},
            "mark": {"type": "point", "style": "outline", "size": 70, "strokeWidth": 1.5},
            "encoding": {
                "x": x,
                "y": y,
                "fill": {
                    "field": "smallest",
                    "type": "nominal",
                    "scale": {
                        "domain": ["smallest", "not significantly larger", "larger"],
                        "range": [{"expr": "mark_color"}, {"expr": "mark_half"}, "transparent"],
                    },
                    "legend": None,
                },
                "tooltip": tips("Method", "Gap", "Configurations"),
            },
        }
    )
    return {"height": ROW_HEIGHT * len(points), "layer": layers}


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


def tips(*fields: str) -> list[dict[str, str]]:
    return [{"field": field, "type": "nominal"} for field in fields]
