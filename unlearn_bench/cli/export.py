"""``unlearn-bench export``: write the recorded runs to a Parquet or CSV file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.session import load_config


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="The file to write: .parquet, which `import` reads, or .csv.")],
    config: arg.Config = None,
    db: arg.Db = None,
) -> None:
    """Write every recorded run to a file: Parquet for pandas or another database, CSV for a spreadsheet."""
    from unlearn_bench.config.benchmarks import database_url
    from unlearn_bench.store import Store
    from unlearn_bench.store.exchange import check_target, export_runs

    check_target(file)
    store = Store(database_url(load_config(config), db), create=False)
    typer.echo(f"{export_runs(store, file)} runs written to {file}")
