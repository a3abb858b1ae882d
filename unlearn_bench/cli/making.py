"""Commands that make runs: ``train``, ``run``, ``reproduce``, ``demo``."""

from __future__ import annotations

from typing import Annotated

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.opening import carry_out, open_bench
from unlearn_bench.errors import OptionError


@app.command()
def train(
    profile: arg.Profile = None,
    dataset: arg.Dataset = None,
    setting: arg.Setting = None,
    forget: arg.Forget = None,
    then: arg.Then = None,
    seed: arg.Seed = None,
    plugin: arg.Plugin = None,
    config: arg.Config = None,
    db: arg.Db = None,
    data: arg.Data = None,
    download: arg.Download = False,
    device: arg.Device = "auto",
    precision: arg.Precision = None,
    workers: arg.Workers = None,
) -> None:
    """Train reference models: the original; with --forget also the retrained; alone, all of the default benchmark."""
    from unlearn_bench.config import Row

    names = ["original"] if dataset is not None and forget is None else ["original", "retrained"]
    bench = open_bench(config, db, profile, dataset, setting, forget, seed, precision, then=then)
    carry_out(bench, [Row(method=name) for name in names], data, download, device, workers, show=names)


@app.command()
def run(
    method: Annotated[str, typer.Option("--method", help="The method to run; see `list methods`.")],
    sets: arg.Set = None,
    preset: Annotated[str | None, typer.Option("--preset", help="An option set of the method, such as paper.")] = None,
    profile: arg.Profile = None,
    dataset: arg.Dataset = None,
    setting: arg.Setting = None,
    forget: arg.Forget = None,
    then: arg.Then = None,
    seed: arg.Seed = None,
    options: arg.Options = None,
    plugin: arg.Plugin = None,
    config: arg.Config = None,
    db: arg.Db = None,
    data: arg.Data = None,
    download: arg.Download = False,
    device: arg.Device = "auto",
    precision: arg.Precision = None,
    workers: arg.Workers = None,
) -> None:
    """Run one method, the models it needs first, and print every metric."""
    from unlearn_bench.options import parse_pairs

    bench = open_bench(config, db, profile, dataset, setting, forget, seed, precision, options=options, then=then)
    bench, row = bench.with_method(method, preset, parse_pairs(sets or []))
    carry_out(bench, [row], data, download, device, workers, show=[method])


@app.command()
def reproduce(
    table: arg.Table = None,
    figure: Annotated[str | None, typer.Option("--figure", help="Or a figure; see `list figures`.")] = None,
    profile: arg.Profile = None,
    dataset: arg.Dataset = None,
    forget: arg.Forget = None,
    then: arg.Then = None,
    seed: arg.Seed = None,
    options: arg.Options = None,
    plugin: arg.Plugin = None,
    config: arg.Config = None,
    db: arg.Db = None,
    data: arg.Data = None,
    download: arg.Download = False,
    device: arg.Device = "auto",
    precision: arg.Precision = None,
    workers: arg.Workers = None,
) -> None:
    """Make every run of a table that is missing, references first, and print the table; or the runs of a figure."""
    if (table is None) == (figure is None):
        raise OptionError("reproduce makes one table or one figure. Give --table or --figure, such as --table 3.")
    bench = open_bench(config, db, profile, dataset, None, forget, seed, precision, options=options, then=then)
    carry_out(bench, [], data, download, device, workers, tables=[table] if table else [], figure=figure)


@app.command()
def demo(
    plugin: arg.Plugin = None,
    config: arg.Config = None,
    db: arg.Db = None,
    device: arg.Device = "auto",
    workers: arg.Workers = None,
) -> None:
    """Measure the paper's class unlearning (tables 3 and A) on handwritten digits: minutes on a laptop."""
    bench = open_bench(config, db, "demo")
    tables = ["3", "A"]
    carry_out(bench, [], None, False, device, workers, tables=tables)
