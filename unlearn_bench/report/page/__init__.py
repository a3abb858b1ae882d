"""A report as one HTML file that needs nothing else: no network, no server, no other file.

Words from outside reach it through Jinja's autoescape or as JSON data; no script runs but the two that its
Content-Security-Policy names by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from unlearn_bench.report.audit import (
    EVIDENCE,
    HEADER,
    Audit,
    facts_of,
    lines_of,
    meanings_header,
    meanings_of,
)
from unlearn_bench.report.page.content import Page, RowView, Words
from unlearn_bench.report.render import LEGEND, cell_text, one_line

FOLDER = Path(__file__).parent
GAP = "gap: to the mean of the retrained models; floor: the largest difference between two of them."


def to_html(page: Page) -> str:
    """Returns a report as a self-contained HTML document."""
    return _render("template.html", [_vega(), _own("script.js")], page=page, legend=LEGEND.format(how="in bold"))


def audit_to_html(audit: Audit) -> str:
    """Returns an audit as a self-contained HTML document."""
    tables = [
        Words("Values", HEADER, lines_of(audit), [GAP]),
        Words("What each metric can and cannot show", meanings_header(audit), meanings_of(audit), []),
    ]
    title = f"Audit: what is left of {audit.forget.split(':')[0]}"
    return _render(
        "audit.html",
        [_own("script.js")],
        audit=audit,
        tables=tables,
        facts=facts_of(audit),
        title=title,
        evidence=EVIDENCE,
    )


def _render(template: str, scripts: list[str], **content: Any) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # half a second with what follows
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(line=one_line, run_data=_run_data)
    environment.globals.update(cell_text=cell_text)
    rendered = environment.get_template(template).render(
        style=Markup(_own("style.css")),
        scripts=[Markup(script) for script in scripts],
        hashes=[_hash(script) for script in scripts],
        **content,
    )
    return rendered.lstrip()  # templates import each other on lines of their own


def _run_data(view: RowView) -> dict[str, Any]:
    """Returns what a cell's details are made of: every configuration's values, options, and by what."""
    return {
        "label": one_line(view.row.label),
        "options": one_line(view.options),
        "by": one_line(view.by),
        "runs": [
            {
                "run": run.id,
                "forget": one_line(run.forget),
                "seed": run.seed,
                "status": run.status,
                "values": {name: float(f"{value:.6g}") for name, value in run.values.items()},
            }
            for run in view.runs
        ],
    }


def _own(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


@lru_cache
def _vega() -> str:
    """Returns Vega, Vega-Lite and Vega-Embed as one script."""
    from vl_convert import javascript_bundle

    bundle = str(javascript_bundle(None))  # type: ignore[arg-type]  # its stub lacks the default
    return bundle.replace("</script", "<\\/script")


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
