"""A Vega-Lite specification to a .png, .svg or .pdf, the same bytes every time, without a browser or a network."""

from __future__ import annotations

import html
import io
import re
from pathlib import Path
from typing import Any

from unlearn_bench.core.errors import OptionError
from unlearn_bench.core.files import atomic_write
from unlearn_bench.report.render import one_line

SUFFIXES = (".png", ".svg", ".pdf")
DOTS = 300  # per inch, of a PNG


def check_suffix(file: Path) -> None:
    """Checks that a file's name says which kind of picture is wanted.

    Raises:
        OptionError: another suffix than .png, .svg or .pdf.
    """
    if file.suffix not in SUFFIXES:
        raise OptionError(f"The figure's file is '{file.name}', expected a name that ends in {', '.join(SUFFIXES)}.")


def render(spec: dict[str, Any], suffix: str) -> bytes:
    """Returns a picture of a specification whose unit of length is a point of print.

    The same specification gives the same bytes. A PDF with letters that the one font lacks is an exception.

    Args:
        spec: Vega-Lite, with its data.
        suffix: one of ``SUFFIXES``.
    """
    import vl_convert  # starts a JavaScript engine: one second

    spec = printable(spec)
    offline: dict[str, Any] = {"allowed_base_urls": []}  # None would allow all
    if suffix == ".png":
        return _smaller(vl_convert.vegalite_to_png(spec, ppi=DOTS, **offline))
    if suffix == ".pdf":
        return bytes(vl_convert.vegalite_to_pdf(spec, **offline))
    return _sized(str(vl_convert.vegalite_to_svg(spec, **offline)), spec.get("description", "")).encode()


def _sized(svg: str, description: str) -> str:
    """Returns an SVG with its size in points, and its description for those who do not see it."""
    end = svg.index(">") + 1
    opening = re.sub(r'\b(width|height)="([\d.]+)"', r'\1="\2pt"', svg[:end])
    return f"{opening}<desc>{html.escape(description)}</desc>{svg[end:]}"


def _smaller(png: bytes) -> bytes:
    """Returns the same picture in about a third of the bytes: without transparency, and compressed harder."""
    from PIL import Image

    found = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(found, "PNG", optimize=True, dpi=(DOTS, DOTS))
    return found.getvalue()


def printable(value: Any) -> Any:
    """Returns a specification without control characters in its words, which no SVG may have."""
    if isinstance(value, dict):
        return {name: printable(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [printable(part) for part in value]
    return one_line(value) if isinstance(value, str) else value


def save(spec: dict[str, Any], file: Path) -> None:
    """Writes a picture of a specification.

    Raises:
        OptionError: another suffix than .png, .svg or .pdf.
        FileError: the file cannot be written.
    """
    check_suffix(file)
    picture = render(spec, file.suffix)
    with atomic_write(file) as part:
        part.write_bytes(picture)
