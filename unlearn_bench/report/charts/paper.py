"""A figure for paper as one Vega-Lite specification: panels in rows, a key above them, notes below.

A unit of length is a point of print, 1/72 inch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unlearn_bench.report.page.content import Chart

COLUMN, PAGE = 234, 486  # 3.25 and 6.75 inches: the column and the text of a page with two columns
PANELS = 4  # side by side at most
PADDING, SPACING = 2, 10
MARGINS = 2 * PADDING + 2  # Vega rounds up
TITLE, HEADING, LETTERS, NOTE = 9, 8, 7, 7  # sizes of letters
NARROW, WIDE = frozenset("fijlrtI .,:;'!|()[]/-"), frozenset("mwMW%@—×")
FONT = "Liberation Sans, Arial, Helvetica, sans-serif"  # vl-convert contains the first
STROKE, DOT = 26, 10  # widths of a symbol in the key
CROSS = "M-1,-1L1,1M-1,1L1,-1"  # Vega's own cross is a plus

# One font weight and no transparency: vl-convert writes the fonts and the transparent parts of a PDF in a different
# order at each call.
CONFIG: dict[str, Any] = {
    "font": FONT,
    "background": "white",
    "padding": PADDING,
    "view": {"stroke": None},
    "concat": {"spacing": SPACING},
    "title": {"fontSize": HEADING, "fontWeight": "normal", "color": "black", "anchor": "middle", "offset": 4},
    "axis": {
        "labelFontSize": LETTERS,
        "labelColor": "black",
        "labelPadding": 2,
        "titleFontSize": LETTERS,
        "titleFontWeight": "normal",
        "titleColor": "black",
        "titlePadding": 3,
        "domainColor": "#555",
        "domainWidth": 0.6,
        "tickColor": "#555",
        "tickWidth": 0.6,
        "tickSize": 3,
        "gridColor": "#ddd",
        "gridWidth": 0.5,
    },
    "text": {"fontSize": LETTERS, "color": "black"},
    "mark": {"color": "black"},
    "point": {"opacity": 1},
    "params": [
        {"name": "mark_color", "value": "black"},
        {"name": "mark_half", "value": "#999"},
        {"name": "band_color", "value": "#ddd"},
    ],
}


@dataclass(frozen=True)
class KeyEntry:
    """An entry of the key: its text, and the Vega-Lite marks to the left of it."""

    text: str
    marks: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Panels:
    """What a figure shows.

    Attributes:
        charts: a panel each, at least one; their specifications have a width and a height.
        key: what their marks mean.
        left: space at the left of the first panel, for what stands beside it.
    """

    charts: tuple[Chart, ...]
    key: tuple[KeyEntry, ...]
    left: float = 0


def columns_of(panels: int) -> int:
    """Returns how many of so many panels stand side by side: rows are as equal as can be.

    >>> [columns_of(panels) for panels in (1, 3, 4, 5, 7, 14)]
    [1, 3, 4, 3, 4, 4]
    """
    return math.ceil(panels / math.ceil(panels / PANELS))


def width_of(panels: int) -> int:
    """Returns the width of a figure of so many panels: a column's for one, else a page's."""
    return COLUMN if panels == 1 else PAGE


def panel_width(panels: int, first: float = 0, each: float = 0) -> float:
    """Returns the width of a panel.

    Args:
        panels: how many the figure has.
        first: space beside the first panel of a row.
        each: space beside every panel.
    """
    columns = columns_of(panels)
    room = width_of(panels) - MARGINS - first - columns * each - (columns - 1) * SPACING
    return round(room / columns, 2)


def text_width(text: str, size: float = LETTERS) -> float:
    """Returns about how wide a text is, rather more than less."""
    return size * sum(map(_letter_width, text))


def _letter_width(letter: str) -> float:
    if letter in NARROW:
        return 0.33
    if letter in WIDE or ord(letter) >= 0x2E80:  # the scripts of East Asia
        return 1.0
    return 0.75 if letter.isupper() else 0.56


def on_paper(title: str, panels: Panels, notes: Sequence[str]) -> dict[str, Any]:
    """Returns a figure: its title, the key, the panels, each below its own title, and the notes, a sentence each."""
    count = len(panels.charts)
    width = width_of(count) - MARGINS
    charts = {
        "concat": [{"title": chart.title, **chart.spec} for chart in panels.charts],
        "columns": columns_of(count),
        "align": "each",
    }
    parts = [_key(panels.key, width, panels.left), charts, _text(" ".join(notes), width, panels.left)]
    return {
        "description": " ".join([f"{title}.", *(chart.alt for chart in panels.charts)]),
        "title": {"text": _lines(title, width, TITLE), "fontSize": TITLE, "offset": 6},
        "vconcat": parts,
        "config": CONFIG,
    }


def _lines(text: str, width: float, size: float) -> list[str]:
    """Returns a text in lines of at most that width, unless a word is wider."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _text(text: str, width: float, left: float) -> dict[str, Any]:
    """Returns a view of a text in lines that begins ``left`` before the panels."""
    lines = _lines(text, width, NOTE)
    mark = {"type": "text", "align": "left", "baseline": "top", "fontSize": NOTE, "lineHeight": NOTE + 2, "text": lines}
    return {
        "width": width - left,
        "height": len(lines) * (NOTE + 2),
        "data": {"values": [{}]},
        "mark": mark,
        "encoding": {"x": {"value": -left}, "y": {"value": 0}},
    }


def _key(entries: Sequence[KeyEntry], width: float, left: float) -> dict[str, Any]:
    """Returns a view of the key's entries, one after the other, in as many rows as they need."""
    layers: list[dict[str, Any]] = []
    x, row, height = -left, 0, LETTERS + 4
    for entry in entries:
        symbol = DOT if all(mark["type"] == "point" for mark in entry.marks) else STROKE
        room = symbol + 3 + text_width(entry.text)
        if x > -left and x + room > width - left:
            x, row = -left, row + 1
        y = row * height + height / 2
        layers += [{"mark": mark, "encoding": _placed(mark, x, x + symbol, y)} for mark in entry.marks]
        words = {"type": "text", "align": "left", "baseline": "middle", "text": entry.text}
        layers.append({"mark": words, "encoding": {"x": {"value": x + symbol + 3}, "y": {"value": y}}})
        x += room + SPACING
    return {"width": width - left, "height": (row + 1) * height, "data": {"values": [{}]}, "layer": layers}


def _placed(mark: dict[str, Any], start: float, end: float, y: float) -> dict[str, Any]:
    if mark["type"] == "point":
        return {"x": {"value": (start + end) / 2}, "y": {"value": y}}
    across = {"x": {"value": start}, "x2": {"value": end}}
    if mark["type"] == "rect":
        return {**across, "y": {"value": y - 4}, "y2": {"value": y + 4}}
    return {**across, "y": {"value": y}}
