"""The shared beginning and end of the commands: open the file and the database, make runs, print results."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from unlearn_bench.core.errors import OptionError
from unlearn_bench.core.forget_words import THEN
from unlearn_bench.core.sources import AS_IT_IS, Reading

if TYPE_CHECKING:
    from unlearn_bench.config.benchmarks import Benchmarks, Measured, Row
    from unlearn_bench.report.bench import Bench
    from unlearn_bench.report.tables import Table


@dataclass(frozen=True)
class Network:
    """The options ``--model``, ``--argument`` and ``--pretrained`` of a command."""

    model: str | None = None
    arguments: Sequence[str] | None = None
    pretrained: Path | None = None


OF_PROFILE = Network()


def load_config(config: Path | None) -> Benchmarks:
    """Returns benchmarks.yaml, read and checked; None takes the nearest one."""
    from unlearn_bench.config.benchmarks import load

    return load(config)


def open_bench(
    config: Path | None,
    db: str | None,
    profile: str | None = None,
    dataset: str | None = None,
    scenario: str | None = None,
    forget: list[str] | None = None,
    seed: list[int] | None = None,
    precision: str | None = None,
    create: bool = True,
    options: Path | None = None,
    then: list[str] | None = None,
    reading: Reading = AS_IT_IS,
    network: Network = OF_PROFILE,
    artefacts: str | None = None,
) -> Bench:
    """Returns the configurations that the options of a command select, with the file and the database.

    Args:
        config, db, profile, dataset, scenario, forget, seed, precision, options, then: as on the command line.
        reading: the options ``--size``, ``--layout`` and ``--strict``; a command that only reads has the first alone.
        network: the options that choose the network.
        artefacts: the option ``--artefacts``.
        create: whether to create a database that does not exist; a command that only reads does not.

    Raises:
        UserError: an option has a value that does not exist, or the database cannot be opened.
    """
    from unlearn_bench.config.benchmarks import database_url
    from unlearn_bench.config.model_choice import ModelChoice
    from unlearn_bench.config.selection import Choice
    from unlearn_bench.config.tuned import read_tuned
    from unlearn_bench.core.options import parse_pairs, plain_value
    from unlearn_bench.report.bench import Bench
    from unlearn_bench.running.network_choice import with_network
    from unlearn_bench.store import Store
    from unlearn_bench.store.locations import location_of

    benchmarks = _with_plugins(load_config(config), dataset)
    arguments = parse_pairs(network.arguments or (), "--argument", "width=8")
    choice = Choice(
        profile=profile,
        dataset=dataset,
        scenario=scenario,
        forget=_in_sequence(forget or [], then or []),
        seeds=seed or (),
        precision=precision,
        reading=reading,
        model=ModelChoice(
            network.model, {name: plain_value(word) for name, word in arguments.items()}, network.pretrained
        ),
    )
    choice = with_network(benchmarks, choice)
    place = location_of(artefacts)
    if place.startswith("memory:"):
        raise OptionError(
            f"The artefacts' URL {place} is memory of this command, which loses the weights when it ends. Give a URL "
            "such as s3://bucket/prefix, or a folder."
        )
    store = Store(database_url(benchmarks, db), create=create, artefacts=artefacts)
    return Bench.choose(benchmarks, store, choice, tuned=read_tuned(options) if options else {})


def _with_plugins(benchmarks: Benchmarks, dataset: str | None) -> Benchmarks:
    """Returns benchmarks.yaml with the data sets of plug-ins, if the user names a data set that it lacks."""
    if dataset is None or dataset.split(":", 1)[0] in benchmarks.datasets:
        return benchmarks
    from unlearn_bench.config.selection import with_datasets
    from unlearn_bench.data import datasets

    return with_datasets(benchmarks, (reader.name for reader in datasets if reader.origin))


def _in_sequence(forget: list[str], then: list[str]) -> list[str]:
    """Returns the forget sets; with ``then``, the only forget set joined with its later requests."""
    if not then:
        return forget
    if len(forget) != 1:
        raise OptionError(
            f"--then {then[0]} needs exactly one --forget, got {len(forget)}. Give --forget once, such as --forget 1."
        )
    return [THEN.join([*forget, *then])]


def make_and_show(
    bench: Bench,
    rows: Sequence[Row],
    data: Path | None,
    download: bool,
    device: str,
    workers: int | None,
    *,
    show: Sequence[str] = (),
    tables: Sequence[str] = (),
    figure: str | None = None,
    with_outputs: bool = False,
    wanted: Sequence[str] = (),
    keep: str = "all",
) -> None:
    """Makes the missing runs, prints the runs of the methods ``show`` and the ``tables``, and exits 1 if a run failed.

    With tables or a figure, it makes their rows instead of ``rows``, and ``with_outputs`` those whose outputs are lost.
    The runs get the metrics ``wanted`` in addition, which become columns of the tables. ``keep`` is the
    option ``--keep``.

    Raises:
        UserError: a name does not exist, or a metric has no value in the scenario of a table.
    """
    from unlearn_bench.cli.terminal import Watch
    from unlearn_bench.metrics import requested
    from unlearn_bench.report.listing import list_values
    from unlearn_bench.report.notes import remarks_on, user_options
    from unlearn_bench.report.render import one_line
    from unlearn_bench.running.keeping import check_keep, remove_unkept
    from unlearn_bench.running.making import ExecutionConfig, make_runs, reproduce

    check_keep(keep)
    bench = bench.with_columns(tables, wanted)
    for name in tables:
        requested(wanted, bench.selection_of(bench.benchmarks.table(name)).experiment.scenario)
    entries: list[Measured] = [bench.benchmarks.table(name) for name in tables]
    entries += [bench.benchmarks.figure(figure)] if figure else []
    started = time.perf_counter()
    with Watch() as watch:
        execution = ExecutionConfig(data, download, device, workers, watch, watch.say)
        outcome = (
            reproduce(bench, entries, execution, with_outputs=with_outputs)
            if entries
            else make_runs(bench, rows, execution, wanted=wanted)
        )
    where = f". Weights and outputs: {bench.store.artefacts}" if bench.store.artefacts else ""
    watch.say(
        f"{len(outcome.made)} of {len(outcome.runs)} runs made in {time.perf_counter() - started:.0f} s, the others "
        f"were already recorded. Database: {bench.store.shown_url}{where}"
    )
    remove_unkept(bench.store, outcome.runs, keep, outcome.failures, watch.say)
    if show:
        runs = [run for run in bench.recorded(outcome.runs) if run.method in show]
        typer.echo(list_values(runs, bench.store.metrics()))
        for remark in remarks_on(bench.selection, show):
            typer.echo(one_line(remark))
    for name in tables:
        typer.echo("")
        show_table(bench.table(name), "text")
    if figure:
        command = f"unlearn-bench figure {figure} --profile {bench.selection.profile}{user_options(bench.selection)}"
        typer.echo(f"Draw it with: {command} --output figure-{figure}.png")
    if outcome.failures:
        raise typer.Exit(1)


def show_table(table: Table, format: str) -> None:
    """Prints a table; as text on a terminal it has colours, unless the variable NO_COLOR is set (no-color.org)."""
    from unlearn_bench.report.render import FORMATS, to_text

    color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    typer.echo(to_text(table, color=color) if format == "text" else FORMATS[format](table))


def write_page(bench: Bench, tables: list[str], embedding: Literal["pca", "umap"], file: Path) -> None:
    """Writes the HTML page of some tables, or with no tables of everything that is recorded."""
    from unlearn_bench.cli.terminal import Watch
    from unlearn_bench.report.page import to_html
    from unlearn_bench.report.pages import build_page
    from unlearn_bench.report.render import write_file

    with Watch() as watch:
        page = build_page(bench, tables, embedding, watch)
    write_file(to_html(page), file)
    typer.echo(f"Written to {file}")
