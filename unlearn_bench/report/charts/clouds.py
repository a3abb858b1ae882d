"""Clouds of features, a chart for each model: the paper's figures 1 and 4."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from unlearn_bench.report.charts import tips
from unlearn_bench.report.charts.paper import CROSS, KeyEntry, Panels, panel_width
from unlearn_bench.report.embedding import Cloud, Clouds
from unlearn_bench.report.page.content import Chart

NAMED_CLASSES = 20  # more of them have neither colours nor names: these would not be told apart or cover the points
SETS = ("retain set", "forget set")


def cloud_points(cloud: Cloud, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Returns a point for each image, to four digits, with its class and its set."""
    return [
        {"x": _rounded(x), "y": _rounded(y), "Class": classes[label], "set": SETS[forgotten]}
        for (x, y), label, forgotten in zip(
            cloud.points.tolist(), cloud.labels.tolist(), cloud.is_forget.tolist(), strict=True
        )
    ]


def cloud_chart(cloud: Cloud, classes: Sequence[str], title: str) -> Chart:
    """Returns a page's chart of a model's features in two dimensions: classes by colour, the forget set as crosses."""
    values = cloud_points(cloud, classes)
    axis = {"type": "quantitative", "axis": None, "scale": {"zero": False}}
    shape = {
        "field": "set",
        "type": "nominal",
        "scale": {"domain": list(SETS), "range": ["circle", "cross"]},
        "legend": {"orient": "top", "title": None},
    }
    return Chart(
        title=cloud.title,
        alt=_alt(cloud, title),
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
                    "legend": {"orient": "bottom", "columns": 5, "title": None}
                    if len(classes) <= NAMED_CLASSES
                    else None,
                },
                "shape": shape,
                "size": {"condition": {"test": "datum.set === 'forget set'", "value": 60}, "value": 14},
                "tooltip": tips("Class", "set"),
            },
        },
    )


def cloud_panels(clouds: Clouds, title: str) -> Panels:
    """Returns a square panel for paper for each model; a class has the same colour in all of them.

    The forget set is black crosses. A class's name stands at the median of its retained points.
    """
    side = panel_width(len(clouds.panels), each=4)
    frame = {"width": side, "height": side, "view": {"stroke": "black", "strokeWidth": 0.6}}
    charts = [
        Chart(cloud.title, _alt(cloud, title), {**frame, "layer": _paper_layers(cloud, clouds.classes)})
        for cloud in clouds.panels
    ]
    by_class = ", a colour for each class" if len(clouds.classes) <= NAMED_CLASSES else ""
    key = (KeyEntry(f"{SETS[0]}{by_class}", ({**_dots(), "color": "#777"},)), KeyEntry(SETS[1], (_crosses(),)))
    return Panels(tuple(charts), key)


def _alt(cloud: Cloud, title: str) -> str:
    forgotten = int(cloud.is_forget.sum())
    return f"{title}, {cloud.title}: {len(cloud.labels)} training images, {forgotten} of them in the forget set."


def _dots() -> dict[str, Any]:
    return {"type": "point", "filled": True, "size": 4, "aria": False}


def _crosses() -> dict[str, Any]:
    return {"type": "point", "shape": CROSS, "size": 10, "strokeWidth": 0.6, "color": "black", "aria": False}


def _paper_layers(cloud: Cloud, classes: Sequence[str]) -> list[dict[str, Any]]:
    points = cloud_points(cloud, classes)
    axis = {"type": "quantitative", "axis": None, "scale": {"zero": False, "padding": 6}}
    place = {"x": {"field": "x", **axis}, "y": {"field": "y", **axis}}
    color: dict[str, Any] = {"value": "#999"}
    names: list[dict[str, Any]] = []
    if len(classes) <= NAMED_CLASSES:
        scale = {"domain": list(classes), "scheme": "tableau20"}
        color = {"field": "Class", "type": "nominal", "scale": scale, "legend": None}
        names = _medians(cloud, classes)
    words = {"type": "text", "fontSize": 7}
    halo = {**words, "stroke": "white", "strokeWidth": 2.5, "strokeJoin": "round"}
    label = {**place, "text": {"field": "Class"}}
    return [
        {
            "data": {"values": [point for point in points if point["set"] == SETS[0]]},
            "mark": _dots(),
            "encoding": {**place, "color": color},
        },
        {
            "data": {"values": [point for point in points if point["set"] == SETS[1]]},
            "mark": _crosses(),
            "encoding": place,
        },
        {"data": {"values": names}, "mark": halo, "encoding": label},
        {"data": {"values": names}, "mark": words, "encoding": label},
    ]


def _medians(cloud: Cloud, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Returns where the retained images of each class that has any lie in the middle."""
    found = []
    for label, name in enumerate(classes):
        own = cloud.points[~cloud.is_forget & (cloud.labels == label)]
        if len(own):
            x, y = np.median(own, axis=0).tolist()
            found.append({"x": _rounded(x), "y": _rounded(y), "Class": name})
    return found


def _rounded(value: float) -> float:
    return float(f"{value:.4g}") if math.isfinite(value) else 0.0
