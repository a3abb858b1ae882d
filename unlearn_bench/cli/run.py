"""``unlearn-bench run``: run one method."""

from __future__ import annotations

from typing import Annotated

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.session import Network, make_and_show, open_bench
from unlearn_bench.core.sources import Reading


@app.command()
def run(
    method: Annotated[str, typer.Option("--method", help="The method to run; see `list methods`.")],
    sets: arg.Set = None,
    metric: arg.Metrics = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="A named set of options of the method, such as paper.")
    ] = None,
    profile: arg.Profile = None,
    model: arg.Model = None,
    argument: arg.Arguments = None,
    pretrained: arg.Pretrained = None,
    dataset: arg.Dataset = None,
    size: arg.Size = None,
    layout: arg.Layout = "auto",
    strict: arg.Strict = False,
    scenario: arg.Scenario = None,
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
    """Run one method, train the models that it needs, and print their metrics."""
    from unlearn_bench.core.options import parse_pairs
    from unlearn_bench.running.making import with_method

    reading, network = Reading(size, layout, strict), Network(model, argument, pretrained)
    bench = open_bench(
        config,
        db,
        profile,
        dataset,
        scenario,
        forget,
        seed,
        precision,
        True,
        options,
        then,
        reading,
        network,
        artefacts,
    )
    bench, row = with_method(bench, method, preset, parse_pairs(sets or []))
    make_and_show(bench, [row], data, download, device, workers, show=[method], wanted=metric or [], keep=keep)
