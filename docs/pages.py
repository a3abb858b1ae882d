"""A Sphinx extension: refuses a site that loads files from other servers, and marks pages outside the contents."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

ELSEWHERE = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=[\"'](?:https?:)?//[^>]*>")


def prepare(_app: Sphinx, page: str, source: list[str]) -> None:
    """Marks single results, which need no place in a table of contents."""
    if page.startswith("results/") and page != "results/README":
        source[0] = f"---\norphan: true\n---\n\n{source[0]}"


def ask_nobody(app: Sphinx, exception: Exception | None) -> None:
    """Refuses a site with a page that loads a file from another server."""
    for page in [] if exception else sorted(Path(app.outdir).rglob("*.html")):
        found = ELSEWHERE.search(page.read_text(encoding="utf-8"))
        if found:
            raise ExtensionError(f"{page} loads a file from another server: {found[0]}")


def keep_bars(_app: Sphinx, _what: str, _name: str, _thing: Any, _options: Any, lines: list[str]) -> None:
    """Keeps the bars of an absolute value in a docstring, which would be a substitution."""
    lines[:] = [line.replace("|", r"\|") for line in lines]


def setup(app: Sphinx) -> dict[str, Any]:
    """Connects the steps."""
    app.connect("source-read", prepare)
    app.connect("autodoc-process-docstring", keep_bars)
    app.connect("build-finished", ask_nobody)
    return {"parallel_read_safe": True}
