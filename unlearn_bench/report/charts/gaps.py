"""Every method's gap to the retrained model, a chart for each metric, with the noise floor as a band."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from unlearn_bench.core.errors import OptionError
from unlearn_bench.report.charts import tips
from unlearn_bench.report.charts.paper import KeyEntry, Panels, columns_of, panel_width, text_width
from unlearn_bench.report.floor import Floor
from unlearn_bench.report.page.content import Chart
from unlearn_bench.report.tables import Table

Size = tuple[float, float]
ROW_HEIGHT, PAPER_ROW_HEIGHT = 22, 12  # pixels; points
LABEL_LIMIT, PAPER_LABEL_LIMIT = 240, 110
MARK, PAPER_MARK = (70, 1.5), (26, 0.8)  # area of a point, width of its outline
KINDS = {"smallest": "mark_color", "not significantly larger": "mark_half", "larger": None}  # of a gap: its filling
WORDS = {"smallest": "smallest gap", "larger": "significantly larger, or not compared"}  # of a kind, in the key


def method_names(table: Table) -> dict[int, str]:
    """Returns the labels of the methods by their rows, without references; rows that share a label are numbered."""
    seen = Counter[str]()
    names = {}
    for k, row in enumerate(table.rows):
        if not row.is_reference:
            seen[row.label] += 1
            names[k] = row.label if seen[row.label] == 1 else f"{row.label} ({seen[row.label]})"
    return names


def gap_points(table: Table, position: int) -> list[dict[str, Any]]:
    """Returns the gaps of the column at a position, a method each, in the order of the rows."""
    unit = table.columns[position].unit
    return [
        {
            "Method": name,
            "gap": cell.gap,
            "smallest": "smallest" if cell.best else "not significantly larger" if cell.tied else "larger",
            "Gap": f"{cell.gap:.4g} {unit}".strip(),
            "Configurations": f"{cell.n} of {table.rows[k].expected}",
        }
        for k, name in method_names(table).items()
        if (cell := table.rows[k].cells[position]).gap is not None
    ]


def gap_charts(table: Table, floors: Mapping[str, Floor]) -> list[Chart]:
    """Returns a page's chart for each metric: every method's gap to retrained, the floor's band where it is known."""
    charts = []
    for position, column in enumerate(table.columns):
        points, floor = gap_points(table, position), floors.get(column.name)
        if points:
            x = {**_gaps_along_x(points, floor), "title": f"gap to retrained, {column.heading}"}
            axis = {"grid": True, "labelLimit": LABEL_LIMIT}
            y = {"field": "Method", "type": "nominal", "sort": None, "title": None, "axis": axis}
            spec = {"height": ROW_HEIGHT * len(points), "layer": _layers(points, floor, x, y, MARK, "transparent")}
            charts.append(Chart(column.heading, _alt(column.heading, points, floor), spec))
    return charts


def gap_panels(table: Table, floors: Mapping[str, Floor]) -> Panels:
    """Returns a panel for paper for each metric; all have the same rows, which the first of each line names.

    Args:
        table: with at least one method besides the references.
        floors: by metric; empty where there are none.

    Raises:
        OptionError: the table has no method to show.
    """
    by_column = [(column, gap_points(table, k)) for k, column in enumerate(table.columns)]
    shown = [(column, points) for column, points in by_column if points]
    if not shown:
        raise OptionError(f"Table {table.name} has no method with a gap to show. Make its runs first.")
    having = {point["Method"] for _, points in shown for point in points}
    names = [name for name in method_names(table).values() if name in having]
    left = min(max(map(text_width, names)), PAPER_LABEL_LIMIT) + 6
    columns, width = columns_of(len(shown)), panel_width(len(shown), first=left, each=7)
    charts = []
    for k, (column, points) in enumerate(shown):
        x = {**_gaps_along_x(points, floors.get(column.name)), "title": None}
        axis = {
            "grid": True,
            "domain": False,
            "ticks": False,
            "labels": k % columns == 0,
            "labelLimit": left - 6,
            "labelPadding": 5,
        }
        y = {"field": "Method", "type": "nominal", "scale": {"domain": names}, "title": None, "axis": axis}
        layers = _layers(points, floors.get(column.name), x, y, PAPER_MARK, "white")
        spec = {"width": width, "height": PAPER_ROW_HEIGHT * len(names), "layer": layers}
        charts.append(Chart(column.heading, _alt(column.heading, points, floors.get(column.name)), spec))
    kinds = {point["smallest"] for _, points in shown for point in points}
    return Panels(tuple(charts), tuple(_key(kinds, has_band=bool(floors))), left)


def _key(kinds: Collection[str], has_band: bool) -> list[KeyEntry]:
    """Returns what the fillings and the band mean, of those that occur."""
    entries = [
        KeyEntry(
            f"{kind} gap" if kind == "smallest" else kind, ({**_mark(PAPER_MARK), "fill": _filling(kind, "white")},)
        )
        for kind in KINDS
        if kind in kinds
    ]
    if has_band:
        band = {"type": "rect", "color": {"expr": "band_color"}}
        entries.append(KeyEntry("typical difference of two retrained models of different seeds", (band,)))
    return entries


def _alt(heading: str, points: Sequence[Mapping[str, Any]], floor: Floor | None) -> str:
    best = [str(point["Method"]) for point in points if point["smallest"] == "smallest"]
    largest = max(points, key=_gap)
    band = f" Two retrained models typically differ by {floor.typical:.3g}." if floor else ""
    return (
        f"Gap to retrained in {heading}: the smallest is {' and '.join(best) or 'not known'}, the largest "
        f"{largest['Gap']} of {largest['Method']}.{band}"
    )


def _gap(point: Mapping[str, Any]) -> float:
    return float(point["gap"])


def _gaps_along_x(points: Sequence[Mapping[str, Any]], floor: Floor | None) -> dict[str, Any]:
    largest = max([_gap(point) for point in points] + ([floor.typical] if floor else []))
    scale = {"domainMin": 0} if largest else {"domain": [0, 1]}  # else a single 0 would stand in the middle
    return {"field": "gap", "type": "quantitative", "scale": scale, "axis": {"tickCount": 4}}


def _mark(size: Size) -> dict[str, Any]:
    return {"type": "point", "style": "outline", "size": size[0], "strokeWidth": size[1]}


def _filling(kind: str, empty: str) -> Any:
    return {"expr": KINDS[kind]} if KINDS[kind] else empty


def _layers(
    points: Sequence[Mapping[str, Any]],
    floor: Floor | None,
    x: dict[str, Any],
    y: dict[str, Any],
    size: Size,
    empty: str,
) -> list[dict[str, Any]]:
    """Returns the band and the points, with the size of their mark and the colour of those that are empty."""
    band = {
        "data": {"values": [{"low": 0, "high": floor.typical if floor else 0}]},
        "mark": {"type": "rect", "color": {"expr": "band_color"}, "tooltip": None},
        "encoding": {"x": {"field": "low", "type": "quantitative"}, "x2": {"field": "high"}},
    }
    scale = {"domain": list(KINDS), "range": [_filling(kind, empty) for kind in KINDS]}
    methods = {
        "data": {"values": list(points)},
        "mark": _mark(size),
        "encoding": {
            "x": x,
            "y": y,
            "fill": {"field": "smallest", "type": "nominal", "scale": scale, "legend": None},
            "tooltip": tips("Method", "Gap", "Configurations"),
        },
    }
    return [band, methods] if floor else [methods]
