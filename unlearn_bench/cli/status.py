"""``unlearn-bench status``: show how far each table is."""

from __future__ import annotations

from typing import Any

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.session import Network, open_bench
from unlearn_bench.core.errors import OptionError
from unlearn_bench.core.sources import Reading


@app.command()
def status(
    profile: arg.Profile = None,
    model: arg.Model = None,
    argument: arg.Arguments = None,
    pretrained: arg.Pretrained = None,
    dataset: arg.Dataset = None,
    size: arg.Size = None,
    json: arg.Json = False,
    plugin: arg.Plugin = None,
    config: arg.Config = None,
    db: arg.Db = None,
) -> None:
    """Show how much of each table is recorded, and estimate the time that the rest takes."""
    from unlearn_bench.config.selection import title_of
    from unlearn_bench.report.listing import progress_of, show_listing

    reading, network = Reading(size), Network(model, argument, pretrained)
    bench = open_bench(config, db, profile, dataset, create=False, reading=reading, network=network)
    body: list[list[Any]] = []
    for name, entry in bench.benchmarks.tables.items():
        try:
            placed = bench.placed(entry)
        except OptionError:  # the chosen data set does not support the scenario of this table
            body.append([name, bench.benchmarks.papers_title(entry), None, None, None, None])
            continue
        progress = progress_of(placed, bench.store)
        seconds = None if progress.seconds is None else round(progress.seconds)
        body.append([name, title_of(entry, placed), progress.done, progress.total, progress.broken, seconds])
    notes = [
        f"Profile {bench.selection.profile}, {bench.selection.experiment.dataset}; {bench.store.shown_url}",
        "Seconds left: on one core or GPU, estimated from the recorded runs of each method; – where none is recorded.",
    ]
    header = ["table", "title", "done", "of", "diverged or failed", "seconds left"]
    typer.echo(show_listing((header, body), json, notes))
