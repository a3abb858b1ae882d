"""What is read back from figures: the points of a specification, the words and marks of an SVG, the pixels of a PNG."""

import io
from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image

SVG = "{http://www.w3.org/2000/svg}"


def panels_of(figure: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The panels of a figure for paper, between its key and its notes."""
    (panels,) = (part["concat"] for part in figure["vconcat"] if "concat" in part)
    return list(panels)


def points_of(panel: Mapping[str, Any], mark: str, **properties: Any) -> list[dict[str, Any]]:
    """The data of those layers of a panel that draw a mark with these properties."""
    return [
        point
        for layer in panel["layer"]
        if layer["mark"]["type"] == mark and all(layer["mark"].get(name) == value for name, value in properties.items())
        for point in layer["data"]["values"]
    ]


def figure_texts(figure: Mapping[str, Any]) -> str:
    """The notes of a figure for paper, joined."""
    return " ".join(figure["vconcat"][-1]["mark"]["text"])


def words_of(svg: bytes) -> list[str]:
    """The texts of an SVG, a line each."""
    texts = (element for element in ElementTree.fromstring(svg).iter(f"{SVG}text"))
    return [line for text in texts for line in ([span.text or "" for span in text] or [text.text or ""])]


def symbols_of(svg: bytes, name: str) -> list[ElementTree.Element]:
    """The symbols of an SVG in groups whose class contains a name."""
    groups = ElementTree.fromstring(svg).iter(f"{SVG}g")
    return [
        path
        for group in groups
        if "mark-symbol" in (names := group.get("class", "").split()) and any(name in each for each in names)
        for path in group.iter(f"{SVG}path")
    ]


def size_of(svg: bytes) -> tuple[float, float]:
    """Width and height of an SVG in points."""
    root = ElementTree.fromstring(svg)
    sizes = [root.get("width", ""), root.get("height", "")]
    assert all(size.endswith("pt") for size in sizes), "only a size with a unit is one of a printed page"
    return float(sizes[0][:-2]), float(sizes[1][:-2])


def pixels_of(png: bytes) -> tuple[np.ndarray, float]:
    """Pixels (height, width, 3) uint8 of a PNG, and its dots per inch."""
    image = Image.open(io.BytesIO(png))
    return np.asarray(image.convert("RGB")), float(image.info["dpi"][0])


def values_in(part: Any) -> Iterator[tuple[str, Any]]:
    """Every name and value within a specification."""
    if isinstance(part, Mapping):
        for name, value in part.items():
            yield name, value
            yield from values_in(value)
    elif isinstance(part, list | tuple):
        for value in part:
            yield from values_in(value)
