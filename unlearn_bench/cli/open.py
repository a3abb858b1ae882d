"""``unlearn-bench open``: write the HTML page of all results and show it."""

from __future__ import annotations

from pathlib import Path

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.session import Network, open_bench, write_page
from unlearn_bench.core.sources import Reading


@app.command("open")
def open_(
    profile: arg.Profile = None,
    model: arg.Model = None,
    argument: arg.Arguments = None,
    pretrained: arg.Pretrained = None,
    dataset: arg.Dataset = None,
    size: arg.Size = None,
    forget: arg.Forget = None,
    seed: arg.Seed = None,
    plugin: arg.Plugin = None,
    config: arg.Config = None,
    db: arg.Db = None,
) -> None:
    """Write the HTML page of all results next to the database, and open it in the browser."""
    import webbrowser

    reading, network = Reading(size), Network(model, argument, pretrained)
    bench = open_bench(config, db, profile, dataset, None, forget, seed, create=False, reading=reading, network=network)
    file = (bench.store.path.parent if bench.store.path else Path("results")).resolve() / "report.html"
    write_page(bench, [], "pca", file)
    if not webbrowser.open(file.as_uri()):
        typer.echo("No browser could be started. Open the file yourself.")
