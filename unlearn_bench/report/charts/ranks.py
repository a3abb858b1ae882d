"""The mean rank of each method, with the critical difference as a bar."""

from __future__ import annotations

from typing import Any

from unlearn_bench.report.charts import tips
from unlearn_bench.report.charts.paper import COLUMN, MARGINS, KeyEntry, Panels, text_width
from unlearn_bench.report.leaderboard.standings import Leaderboard
from unlearn_bench.report.page.content import Chart

ROW_HEIGHT, LABEL_LIMIT = 12, 110  # points
BAR = {"type": "rule", "strokeWidth": 1.2, "color": {"expr": "mark_half"}, "tooltip": None}
POINT = {"type": "point", "filled": True, "size": 26, "color": {"expr": "mark_color"}}


def rank_panels(board: Leaderboard) -> Panels:
    """Returns the mean ranks of a leaderboard's methods for paper, each with a bar of one critical difference.

    Two methods whose bars do not overlap differ significantly (Nemenyi's test), as in the diagram of Demšar 2006.
    """
    half = (board.ranking.critical or 0) / 2 if board.ranking.decides else 0
    points = [
        {
            "Method": each.label,
            "rank": board.ranking.means[each.label],
            "low": board.ranking.means[each.label] - half,
            "high": board.ranking.means[each.label] + half,
            "Mean rank": f"{board.ranking.means[each.label]:.2f}",
            "Mean gap": f"{each.gap:.2f}",
        }
        for each in board.methods
    ]
    names = [str(point["Method"]) for point in points]
    left = min(max(map(text_width, names)), LABEL_LIMIT) + 6
    axis = {"grid": True, "domain": False, "ticks": False, "labelLimit": left - 6, "labelPadding": 5}
    y: dict[str, Any] = {"field": "Method", "type": "nominal", "scale": {"domain": names}, "title": None, "axis": axis}
    scale = {"domain": [0.5, len(names) + 0.5], "nice": False}
    x = {"field": "rank", "type": "quantitative", "scale": scale, "title": "1: nearest to retrained in every block"}
    bars = {**x, "field": "low"}
    layers: list[dict[str, Any]] = [
        {"mark": POINT, "encoding": {"x": x, "y": y, "tooltip": tips("Method", "Mean rank", "Mean gap")}}
    ]
    if half:
        layers.insert(0, {"mark": {**BAR, "clip": True}, "encoding": {"x": bars, "x2": {"field": "high"}, "y": y}})
    spec = {
        "data": {"values": points},
        "width": round(COLUMN - MARGINS - left - 7, 2),
        "height": ROW_HEIGHT * len(names),
        "layer": layers,
    }
    alt = f"Mean rank of {len(names)} methods; the best is {names[0]}."
    key = [KeyEntry("mean rank", (POINT,))]
    if half:
        key.append(KeyEntry("one critical difference: bars that do not overlap differ", (BAR,)))
    return Panels((Chart("Mean rank", alt, spec),), tuple(key), left)
