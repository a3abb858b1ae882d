"""What every command starts and ends with: the bench of its options, and the results on the screen."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from unlearn_bench.errors import OptionError
from unlearn_bench.spec import THEN

if TYPE_CHECKING:
    from unlearn_bench.bench import Bench
    from unlearn_bench.config import Benchmarks, Measured, Row
    from unlearn_bench.report.tables import Table


def load_config(config: Path | None) -> Benchmarks:
    from unlearn_bench.config import load

    return load(config)


def open_bench(
    config: Path | None,
    db: str | None,
    profile: str | None = None,
    dataset: str | None = None,
    setting: str | None = None,
    forget: list[str] | None = None,
    seed: list[int] | None = None,
    precision: str | None = None,
    create: bool = True,
    options: Path | None = None,
    then: list[str] | None = None,
) -> Bench:
    from unlearn_bench.bench import Bench
    from unlearn_bench.config import database_url
    from unlearn_bench.store import Store
    from unlearn_bench.tuned import read_tuned

    benchmarks = load_config(config)
    return Bench.choose(
        benchmarks,
        Store(database_url(benchmarks, db), create=create),
        tuned=read_tuned(options) if options else {},
        profile=profile,
        dataset=dataset,
        setting=setting,
        forget=_in_sequence(forget or [], then or []),
        seeds=seed or (),
        precision=precision,
    )


def _in_sequence(forget: list[str], then: list[str]) -> list[str]:
    """Returns the forget sets, of which a single one may be followed by later requests."""
    if not then:
        return forget
    if len(forget) != 1:
        raise OptionError(
            f"--then {then[0]} follows {len(forget)} forget sets, expected one. Give --forget once, such as --forget 1."
        )
    return [THEN.join([*forget, *then])]


def carry_out(
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
) -> None:
    """Makes what is missing, prints the runs of the methods ``show`` and the ``tables``, and exits 1 on failures.

    With tables or a figure their rows are made, in place of ``rows``.
    """
    from unlearn_bench.bench import Machinery
    from unlearn_bench.report.listing import list_values
    from unlearn_bench.report.notes import given_words, remarks_on
    from unlearn_bench.report.render import one_line
    from unlearn_bench.terminal import Watch

    entries: list[Measured] = [bench.benchmarks.table(name) for name in tables]
    entries += [bench.benchmarks.figure(figure)] if figure else []
    started = time.perf_counter()
    with Watch() as watch:
        machinery = Machinery(data, download, device, workers, watch, watch.say)
        outcome = bench.reproduce(entries, machinery) if entries else bench.carry_out(rows, machinery)
    watch.say(
        f"{len(outcome.made)} of {len(outcome.runs)} runs made in {time.perf_counter() - started:.0f} s, the others "
        f"were recorded: {bench.store.shown_url}"
    )
    if show:
        found = [run for run in bench.recorded(outcome.runs) if run.method in show]
        typer.echo(list_values(found, bench.store.metrics()))
        for remark in remarks_on(bench.selection, show):
            typer.echo(one_line(remark))
    for name in tables:
        typer.echo("")
        show_table(bench.table(name), "text")
    if figure:
        command = f"unlearn-bench figure {figure} --profile {bench.selection.profile}{given_words(bench.selection)}"
        typer.echo(f"Draw it with: {command} --output figure-{figure}.png")
    if outcome.failures:
        raise typer.Exit(1)


def show_table(table: Table, format: str) -> None:
    from unlearn_bench.report.render import FORMATS, to_text

    color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")  # as no-color.org has it
    typer.echo(to_text(table, color=color) if format == "text" else FORMATS[format](table))
