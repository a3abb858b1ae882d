"""The command line: parse, one call, print. The only error boundary; with ``terminal`` the only place that prints."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unlearn_bench import arguments as arg
from unlearn_bench.errors import UserError, unknown_name

if TYPE_CHECKING:
    from unlearn_bench.bench import Bench
    from unlearn_bench.config import Benchmarks, Row
    from unlearn_bench.report.tables import Table

app = typer.Typer(
    name="unlearn-bench",
    help="Did the model forget as if it had been retrained without the forget set?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def train(
    profile: arg.Profile = None,
    dataset: arg.Dataset = None,
    setting: arg.Setting = None,
    forget: arg.Forget = None,
    seed: arg.Seed = None,
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
    bench = _bench(config, db, profile, dataset, setting, forget, seed, precision)
    _carry_out(bench, [Row(method=name) for name in names], data, download, device, workers, show=names)


@app.command()
def run(
    method: Annotated[str, typer.Option("--method", help="The method to run; see `list methods`.")],
    sets: arg.Set = None,
    preset: Annotated[str | None, typer.Option("--preset", help="An option set of the method, such as paper.")] = None,
    profile: arg.Profile = None,
    dataset: arg.Dataset = None,
    setting: arg.Setting = None,
    forget: arg.Forget = None,
    seed: arg.Seed = None,
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

    bench = _bench(config, db, profile, dataset, setting, forget, seed, precision)
    bench, row = bench.with_method(method, preset, parse_pairs(sets or []))
    _carry_out(bench, [row], data, download, device, workers, show=[method])


@app.command()
def reproduce(
    table: arg.Table,
    profile: arg.Profile = None,
    dataset: arg.Dataset = None,
    forget: arg.Forget = None,
    seed: arg.Seed = None,
    config: arg.Config = None,
    db: arg.Db = None,
    data: arg.Data = None,
    download: arg.Download = False,
    device: arg.Device = "auto",
    precision: arg.Precision = None,
    workers: arg.Workers = None,
) -> None:
    """Make every run of a table that is missing, references first, and print the table."""
    bench = _bench(config, db, profile, dataset, None, forget, seed, precision)
    _carry_out(bench, bench.rows([table]), data, download, device, workers, tables=[table])


@app.command()
def demo(
    config: arg.Config = None, db: arg.Db = None, device: arg.Device = "auto", workers: arg.Workers = None
) -> None:
    """Measure the paper's class unlearning (tables 3 and A) on handwritten digits: minutes on a laptop."""
    bench = _bench(config, db, "demo")
    tables = ["3", "A"]
    _carry_out(bench, bench.rows(tables), None, False, device, workers, tables=tables)


@app.command()
def report(
    table: arg.Table,
    format: arg.Format = "text",
    profile: arg.Profile = None,
    dataset: arg.Dataset = None,
    forget: arg.Forget = None,
    seed: arg.Seed = None,
    precision: arg.Precision = None,
    output: arg.Output = None,
    config: arg.Config = None,
    db: arg.Db = None,
) -> None:
    """Print a table from the database alone."""
    from unlearn_bench.report.render import FORMATS, write_file

    if format not in FORMATS:
        raise unknown_name("format", format, FORMATS)
    made = _bench(config, db, profile, dataset, None, forget, seed, precision, create=False).table(table)
    if output is None:
        _show_table(made, format)
        return
    write_file(FORMATS[format](made), output)


@app.command()
def runs(
    method: Annotated[str | None, typer.Option("--method", help="Only this method.")] = None,
    status: Annotated[str | None, typer.Option("--status", help="Only done, failed or diverged.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The newest so many.")] = 50,
    config: arg.Config = None,
    db: arg.Db = None,
) -> None:
    """List recorded runs, newest first."""
    from unlearn_bench.report.listing import list_runs

    store = _bench(config, db, create=False).store
    found = store.runs(method=method, status=status, limit=limit)
    typer.echo(list_runs(found))
    if len(found) == limit:
        typer.echo(f"The newest {limit} of {store.count()}; more with --limit.")


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="A run's number, or the beginning of its key.")],
    config: arg.Config = None,
    db: arg.Db = None,
) -> None:
    """Print all that is recorded of one run."""
    from unlearn_bench.report.listing import describe_run

    store = _bench(config, db, create=False).store
    typer.echo(describe_run(store.run(run), store.metrics()))


@app.command()
def status(
    profile: arg.Profile = None, dataset: arg.Dataset = None, config: arg.Config = None, db: arg.Db = None
) -> None:
    """Say how much of each table is recorded."""
    from unlearn_bench.report.listing import plain_table, progress_of

    bench = _bench(config, db, profile, dataset, create=False)
    body = [
        [name, entry.title, *progress_of(entry, bench.recorded_selection, bench.store)]
        for name, entry in bench.benchmarks.tables.items()
    ]
    typer.echo(f"Profile {bench.selection.profile}, {bench.selection.experiment.dataset}; {bench.store.shown_url}")
    typer.echo(plain_table(["table", "title", "done", "of", "diverged or failed"], body))


@app.command("list")
def list_(
    kind: Annotated[str, typer.Argument(help="methods, metrics, datasets, models, settings, tables or profiles.")],
    config: arg.Config = None,
) -> None:
    """List what there is of a kind."""
    from unlearn_bench.catalogue import describe_kind

    typer.echo(describe_kind(kind, _load(config)))


@app.command()
def explain(method: Annotated[str, typer.Argument(help="A method.")], config: arg.Config = None) -> None:
    """Print a method's exact recipe: every hyper-parameter with default, range and source."""
    from unlearn_bench.catalogue import describe_method

    typer.echo(describe_method(method, _load(config)))


def _load(config: Path | None) -> Benchmarks:
    from unlearn_bench.config import load

    return load(config)


def _bench(
    config: Path | None,
    db: str | None,
    profile: str | None = None,
    dataset: str | None = None,
    setting: str | None = None,
    forget: list[str] | None = None,
    seed: list[int] | None = None,
    precision: str | None = None,
    create: bool = True,
) -> Bench:
    from unlearn_bench.bench import Bench
    from unlearn_bench.config import database_url, select
    from unlearn_bench.store import Store

    benchmarks = _load(config)
    selection = select(
        benchmarks,
        profile=profile,
        dataset=dataset,
        setting=setting,
        forget=forget or (),
        seeds=seed or (),
        precision=precision,
    )
    return Bench(benchmarks, selection, Store(database_url(benchmarks, db), create=create))


def _carry_out(
    bench: Bench,
    rows: Sequence[Row],
    data: Path | None,
    download: bool,
    device: str,
    workers: int | None,
    *,
    show: Sequence[str] = (),
    tables: Sequence[str] = (),
) -> None:
    """Makes what is missing, prints the runs of the methods ``show`` and the ``tables``, and exits 1 on failures."""
    from unlearn_bench.bench import Machinery
    from unlearn_bench.report.listing import list_values
    from unlearn_bench.terminal import Watch

    started = time.perf_counter()
    with Watch() as watch:
        outcome = bench.carry_out(rows, Machinery(data, download, device, workers, watch, watch.say))
    watch.say(
        f"{len(outcome.made)} of {len(outcome.runs)} runs made in {time.perf_counter() - started:.0f} s, the others "
        f"were recorded: {bench.store.shown_url}"
    )
    if show:
        found = [run for run in bench.recorded(outcome.runs) if run.method in show]
        typer.echo(list_values(found, bench.store.metrics()))
    for name in tables:
        typer.echo("")
        _show_table(bench.table(name), "text")
    if outcome.failures:
        raise typer.Exit(1)


def _show_table(table: Table, format: str) -> None:
    from unlearn_bench.report.render import FORMATS, to_text

    typer.echo(to_text(table, color=sys.stdout.isatty()) if format == "text" else FORMATS[format](table))


def main() -> None:
    """Runs the command line and exits: 0 done, 1 runs failed, 2 wrong use, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a legacy code page lacks the paper's symbols
            stream.reconfigure(encoding="utf-8")
    usage_error: Any = typer.BadParameter.__mro__[1]  # click's UsageError, which newer typers carry within themselves
    try:
        code = app(standalone_mode=False)
    except UserError as problem:
        typer.echo(str(problem), err=True)
        code = 2
    except usage_error as problem:
        problem.show()
        code = problem.exit_code
    except typer.Exit as stop:
        code = stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    if code == 130:
        typer.echo("Interrupted. What is done is recorded; the same command goes on from there.", err=True)
    sys.exit(code if isinstance(code, int) else 0)
