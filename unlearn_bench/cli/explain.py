"""``unlearn-bench explain``: print the definition of a method, a metric, a model, a data set or a scenario."""

from __future__ import annotations

from typing import Annotated

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.session import load_config


@app.command()
def explain(
    name: Annotated[str, typer.Argument(help="A method, metric, model, data set or scenario.")],
    plugin: arg.Plugin = None,
    config: arg.Config = None,
) -> None:
    """Print a method's recipe and options, a metric's definition, or what a model, data set or scenario is."""
    from unlearn_bench.cli.catalogue import describe_entry

    typer.echo(describe_entry(name, load_config(config)))
