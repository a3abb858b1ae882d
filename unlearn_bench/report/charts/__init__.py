"""Charts as Vega-Lite specifications, one kind a file: the page draws them on screen, ``figure`` on paper.

Both take the same points. A page's chart has no colours and no width, which are the screen's; a figure's panel has the
size and the strokes of a printed page, and nothing in it depends on colour.
"""

from __future__ import annotations


def tips(*fields: str) -> list[dict[str, str]]:
    """Returns the encoding of a tooltip that shows these fields as they are written."""
    return [{"field": field, "type": "nominal"} for field in fields]
