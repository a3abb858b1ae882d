"""Commands that take runs elsewhere: ``export``, ``import``, ``track``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.opening import load_config
from unlearn_bench.errors import unknown_name

SHOWN = 20  # conflicts on the screen
POLICIES = ("keep", "replace", "refuse")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="A Parquet file to write.")],
    config: arg.Config = None,
    db: arg.Db = None,
) -> None:
    """Write every recorded run to a Parquet file, for pandas or for another database."""
    from unlearn_bench.config import database_url
    from unlearn_bench.store import Store
    from unlearn_bench.store.exchange import export_runs

    store = Store(database_url(load_config(config), db), create=False)
    typer.echo(f"{export_runs(store, file)} runs written to {file}")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A Parquet file that `export` wrote.")],
    on_conflict: Annotated[
        str, typer.Option("--on-conflict", help="Where a run has other values here: keep ours, replace, or refuse.")
    ] = "keep",
    config: arg.Config = None,
    db: arg.Db = None,
) -> None:
    """Add the runs of another database; exit code 1 where a run has other values here."""
    from unlearn_bench.config import database_url
    from unlearn_bench.report.listing import plain_table
    from unlearn_bench.report.render import one_line
    from unlearn_bench.store import Store
    from unlearn_bench.store.exchange import import_runs

    policy: Any = on_conflict
    if policy not in POLICIES:
        raise unknown_name("policy", on_conflict, POLICIES)
    store = Store(database_url(load_config(config), db))
    before = store.count()
    merged = import_runs(store, file, policy)
    typer.echo(
        f"{before} runs before, {store.count()} after: {merged.added} new, {merged.known} known with the same values, "
        f"{merged.extended} with more metrics than here, {len(merged.conflicts)} with other values."
    )
    if merged.conflicts:
        what = f"theirs took the place of {merged.replaced}" if policy == "replace" else "ours are kept"
        lines = [[each.key[:12], one_line(each.run), one_line(each.differs)] for each in merged.conflicts[:SHOWN]]
        more = len(merged.conflicts) - len(lines)
        typer.echo(f"Conflicts ({what}{f'; {more} more are not listed' if more else ''}):")
        typer.echo(plain_table(["key", "run", "differs"], lines))
        raise typer.Exit(1)


@app.command()
def track(
    uri: Annotated[str | None, typer.Option("--uri", help="Of an MLflow server; default: MLFLOW_TRACKING_URI.")] = None,
    experiment: Annotated[str, typer.Option("--experiment", help="Its name there.")] = "unlearn-bench",
    config: arg.Config = None,
    db: arg.Db = None,
) -> None:
    """Send the recorded runs to MLflow, each once."""
    from unlearn_bench.config import database_url
    from unlearn_bench.store import Store
    from unlearn_bench.terminal import Watch
    from unlearn_bench.tracking import send_to_mlflow

    runs = Store(database_url(load_config(config), db), create=False).runs()
    with Watch() as watch:
        sent = send_to_mlflow(runs, uri, experiment, watch)
    typer.echo(f"{sent} of {len(runs)} runs sent, the others were there.")
