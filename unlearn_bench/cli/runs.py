"""``unlearn-bench runs``: list the recorded runs."""

from __future__ import annotations

from typing import Annotated

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.session import open_bench
from unlearn_bench.core.errors import unknown_name

SHOWN = 50
STATUSES = ("done", "failed", "diverged")


@app.command()
def runs(
    method: Annotated[str | None, typer.Option("--method", help="Only this method.")] = None,
    status: Annotated[str | None, typer.Option("--status", help="Only done, failed or diverged.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", help="Only this data set.")] = None,
    forget: Annotated[str | None, typer.Option("--forget", help="Only this forget set.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, max=arg.MAX_INTEGER, help="Only this seed.")] = None,
    profile: Annotated[str | None, typer.Option("--profile", help="Only this profile.")] = None,
    sort: Annotated[
        str, typer.Option("--sort", help="Sort by a column or a metric; finished: newest first.")
    ] = "finished",
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help=f"Number of runs to list; default: {SHOWN}, with --json all."),
    ] = None,
    json: arg.Json = False,
    config: arg.Config = None,
    db: arg.Db = None,
) -> None:
    """List recorded runs, newest first."""
    from unlearn_bench.report.listing import list_runs, show_listing, sorted_runs

    if status not in (None, *STATUSES):
        raise unknown_name("status", status, STATUSES)
    store = open_bench(config, db, create=False).store
    matching = store.runs(method=method, status=status, dataset=dataset, forget=forget, seed=seed, profile=profile)
    shown = sorted_runs(matching, sort)[: limit or (None if json else SHOWN)]
    hidden = len(matching) > len(shown)
    note = f"{len(shown)} of {len(matching)} runs; list more with --limit." if hidden else ""
    metric = sort if any(sort in run.values for run in shown) else None
    typer.echo(show_listing(list_runs(shown, metric), json, [note] if note else []))
    if note and json:
        typer.echo(note, err=True)
    if not matching and store.count():
        typer.echo(f"No recorded run matches, of {store.count()}.", err=True)
