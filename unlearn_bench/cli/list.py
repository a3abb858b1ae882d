"""``unlearn-bench list``: list what you can choose from."""

from __future__ import annotations

from typing import Annotated

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.session import load_config


@app.command("list")
def list_(
    kind: Annotated[
        str, typer.Argument(help="methods, metrics, datasets, models, scenarios, tables, figures or profiles.")
    ],
    json: arg.Json = False,
    plugin: arg.Plugin = None,
    config: arg.Config = None,
) -> None:
    """List methods, metrics, data sets, models, scenarios, tables, figures or profiles."""
    from unlearn_bench.cli.catalogue import list_kind
    from unlearn_bench.report.listing import show_listing

    listing, notes = list_kind(kind, load_config(config))
    typer.echo(show_listing(listing, json, notes))
