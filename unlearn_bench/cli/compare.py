"""``unlearn-bench compare``: compute how alike the models of a table are to the retrained ones."""

from __future__ import annotations

from typing import Annotated

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.session import Network, open_bench
from unlearn_bench.core.sources import Reading


@app.command()
def compare(
    table: Annotated[
        str,
        typer.Option(
            "--table",
            help="A table of benchmarks.yaml; see `list tables`.",
            autocompletion=arg.complete_names("tables"),
        ),
    ],
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
    precision: arg.Precision = None,
    options: arg.Options = None,
    plugin: arg.Plugin = None,
    config: arg.Config = None,
    db: arg.Db = None,
    data: arg.Data = None,
    download: arg.Download = False,
    device: arg.Device = "auto",
    artefacts: arg.Artefacts = None,
) -> None:
    """Compare the recorded models of a table with the retrained ones, and print the likeness; trains nothing."""
    from unlearn_bench.cli.terminal import Watch
    from unlearn_bench.report.likeness import describe_likeness
    from unlearn_bench.report.render import with_notes
    from unlearn_bench.running.likeness import compare as compare_models
    from unlearn_bench.running.making import ExecutionConfig

    reading, network = Reading(size, layout, strict), Network(model, argument, pretrained)
    bench = open_bench(
        config, db, profile, dataset, None, forget, seed, precision, False, options, then, reading, network, artefacts
    )
    with Watch() as watch:
        done = compare_models(bench, table, ExecutionConfig(data, download, device, 1, watch, watch.say))
    watch.say(f"{done.made} of {done.pairs} pairs of models were compared now, {done.missing} are missing.")
    for sentence in done.lost:
        watch.say(sentence)
    if done.missing < done.pairs:
        placed = bench.placed(bench.benchmarks.table(table))
        typer.echo(with_notes(*describe_likeness(table, placed, bench.store), "text"))
    if done.lost:
        raise typer.Exit(1)
