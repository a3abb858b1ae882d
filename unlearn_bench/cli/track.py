"""``unlearn-bench track``: send the recorded runs to MLflow."""

from __future__ import annotations

from typing import Annotated

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.session import load_config


@app.command()
def track(
    uri: Annotated[
        str | None, typer.Option("--uri", help="URI of the MLflow server; default: MLFLOW_TRACKING_URI.")
    ] = None,
    experiment: Annotated[str, typer.Option("--experiment", help="Name of the MLflow experiment.")] = "unlearn-bench",
    config: arg.Config = None,
    db: arg.Db = None,
) -> None:
    """Send the recorded runs to MLflow; runs that were sent before are skipped."""
    from unlearn_bench.cli.terminal import Watch
    from unlearn_bench.config.benchmarks import database_url
    from unlearn_bench.store import Store
    from unlearn_bench.store.mlflow import send_to_mlflow

    runs = Store(database_url(load_config(config), db), create=False).runs()
    with Watch() as watch:
        sent = send_to_mlflow(runs, uri, experiment, watch)
    typer.echo(f"{sent} of {len(runs)} runs sent; the others were sent before.")
