"""``unlearn-bench reproduce``: make the missing runs of a table or a figure."""

from __future__ import annotations

from typing import Annotated

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.session import Network, make_and_show, open_bench
from unlearn_bench.core.errors import OptionError
from unlearn_bench.core.sources import Reading


@app.command()
def reproduce(
    table: arg.Table = None,
    figure: Annotated[
        str | None, typer.Option("--figure", help="A figure of benchmarks.yaml; see `list figures`.")
    ] = None,
    outputs: Annotated[
        bool, typer.Option("--outputs", help="Also make again what `compare` and figures read and was deleted.")
    ] = False,
    metric: arg.Metrics = None,
    profile: arg.Profile = None,
    model: arg.Model = None,
    argument: arg.Arguments = None,
    pretrained: arg.Pretrained = None,
    dataset: arg.Dataset = None,
    size: arg.Size = None,
    layout: arg.Layout = "auto",
    strict: arg.Strict = False,
    forget: arg.Forget = None,
    then: arg.Then = None,
    seed: arg.Seed = None,
    options: arg.Options = None,
    plugin: arg.Plugin = None,
    config: arg.Config = None,
    db: arg.Db = None,
    artefacts: arg.Artefacts = None,
    keep: arg.Keep = "all",
    data: arg.Data = None,
    download: arg.Download = False,
    device: arg.Device = "auto",
    precision: arg.Precision = None,
    workers: arg.Workers = None,
) -> None:
    """Run whatever a table still needs, reference models first, and print the table; or the runs of a figure."""
    if (table is None) == (figure is None):
        raise OptionError("reproduce needs either a table or a figure. Give --table or --figure, such as --table 3.")
    if figure and metric:
        raise OptionError(
            f"--metric {metric[0]} adds a column to a table, and a figure has none. Give --table, or leave it out."
        )
    reading, network = Reading(size, layout, strict), Network(model, argument, pretrained)
    bench = open_bench(
        config, db, profile, dataset, None, forget, seed, precision, True, options, then, reading, network, artefacts
    )
    tables = [table] if table else []
    make_and_show(
        bench,
        [],
        data,
        download,
        device,
        workers,
        tables=tables,
        figure=figure,
        with_outputs=outputs,
        wanted=metric or [],
        keep=keep,
    )
