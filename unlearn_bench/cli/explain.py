"""``unlearn-bench explain``: print the definition of a method or a metric."""

from __future__ import annotations

from typing import Annotated

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.session import load_config


@app.command()
def explain(
    name: Annotated[str, typer.Argument(help="A method or a metric.")],
    plugin: arg.Plugin = None,
    config: arg.Config = None,
) -> None:
    """Print a method's recipe and hyper-parameters (default, range, source), or a metric's definition."""
    from unlearn_bench.cli.catalogue import describe_entry

    typer.echo(describe_entry(name, load_config(config)))
