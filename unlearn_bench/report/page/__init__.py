"""Renders a report as one self-contained HTML file: it needs no network, no server and no other file.

Untrusted text enters the page only through Jinja's autoescape or as JSON data. The Content-Security-Policy names the
page's own scripts by their hashes, so no other script runs.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from unlearn_bench.report.page.content import Page, RowView
from unlearn_bench.report.render import LEGEND, cell_text, one_line

FOLDER = Path(__file__).parent


def to_html(page: Page) -> str:
    """Returns a report as a self-contained HTML document."""
    scripts = [_vega(), own_file("script.js")]
    return render_page(FOLDER / "template.html", scripts, page=page, legend=LEGEND.format(how="in bold"))


def render_page(template: Path, scripts: list[str], **content: Any) -> str:
    """Renders a template with these scripts only. The template can import the templates of this folder."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # takes half a second
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader([FOLDER, template.parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(line=one_line, run_data=_run_data)
    environment.globals.update(cell_text=cell_text)
    rendered = environment.get_template(template.name).render(
        style=Markup(own_file("style.css")),
        scripts=[Markup(script) for script in scripts],
        hashes=[_hash(script) for script in scripts],
        **content,
    )
    return rendered.lstrip()  # imports of templates leave empty lines


def _run_data(view: RowView) -> dict[str, Any]:
    """Returns the data for the details of a cell: the values of every configuration, options and versions."""
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


def own_file(name: str) -> str:
    """Returns the text of a script or style sheet of this folder."""
    return (FOLDER / name).read_text(encoding="utf-8")


@lru_cache
def _vega() -> str:
    """Returns Vega, Vega-Lite and Vega-Embed as one script."""
    from vl_convert import javascript_bundle

    bundle = str(javascript_bundle(None))  # type: ignore[arg-type]  # its stub lacks the default
    return bundle.replace("</script", "<\\/script")


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
