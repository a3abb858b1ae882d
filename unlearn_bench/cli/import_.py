"""``unlearn-bench import``: add the runs of another database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.session import load_config
from unlearn_bench.core.errors import unknown_name

CONFLICTS_SHOWN = 20
POLICIES = ("keep", "replace", "refuse")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A Parquet file that `export` wrote.")],
    on_conflict: Annotated[
        str,
        typer.Option(
            "--on-conflict",
            help="For a run with other values in this database: keep those, replace them by the file's, or refuse it.",
        ),
    ] = "keep",
    config: arg.Config = None,
    db: arg.Db = None,
) -> None:
    """Add the runs of another database; exit code 1 if a run has other values in this database."""
    from unlearn_bench.config.benchmarks import database_url
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
        f"{before} runs before, {store.count()} after: {merged.added} new, {merged.unchanged} known with the same "
        f"values, {merged.extended} with more metrics than here, {len(merged.conflicts)} with other values."
    )
    if merged.conflicts:
        kept = (
            f"{merged.replaced} replaced by those of the file"
            if policy == "replace"
            else "those of the database are kept"
        )
        shown = merged.conflicts[:CONFLICTS_SHOWN]
        body = [[conflict.key[:12], one_line(conflict.run), one_line(conflict.differs)] for conflict in shown]
        hidden = len(merged.conflicts) - len(shown)
        typer.echo(f"Conflicts ({kept}{f'; {hidden} more are not listed' if hidden else ''}):")
        typer.echo(plain_table(["key", "run", "differs"], body))
        raise typer.Exit(1)
