"""``unlearn-bench check``: compare a table with its recorded expectations."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.session import load_config
from unlearn_bench.core.errors import MissingExpectationError, OptionError

if TYPE_CHECKING:
    from unlearn_bench.config.benchmarks import Benchmarks
    from unlearn_bench.config.expectations import Comparison, Expectation
    from unlearn_bench.store import Store


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="Name of the recorded expectations.")] = "demo",
    expectations: Annotated[
        Path | None,
        typer.Option("--expectations", help="A file of expectations; replaces results/expectations.yaml."),
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Record the values measured now as expectations, and show what changes.")
    ] = False,
    table: Annotated[
        str | None, typer.Option("--table", help="With --update: the table of new expectations; default: A.")
    ] = None,
    profile: arg.Profile = None,
    forget: arg.Forget = None,
    seed: arg.Seed = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML to this file.")] = None,
    summary: Annotated[
        Path | None, typer.Option("--summary", help="Append Markdown to this file, such as $GITHUB_STEP_SUMMARY.")
    ] = None,
    retest: Annotated[
        int, typer.Option("--retest", min=0, help="How many more repeats to measure if a value fails.")
    ] = 2,
    disturbances: Annotated[
        int | None,
        typer.Option(
            "--disturbances",
            min=0,
            help="With --update: how often to measure the first seed again from disturbed start weights.",
        ),
    ] = None,
    power: Annotated[
        bool, typer.Option("--power", help="Print the smallest change that a check detects, without measuring.")
    ] = False,
    plugin: arg.Plugin = None,
    config: arg.Config = None,
    db: Annotated[
        str | None,
        typer.Option("--db", help="Database for the runs; default: a temporary one, deleted after the check."),
    ] = None,
    data: arg.Data = None,
    download: arg.Download = False,
    device: arg.Device = "auto",
    workers: arg.Workers = None,
) -> None:
    """Measure a table again and compare it with its expectations; exit code 1 if a value differs from them."""
    from unlearn_bench.checks import regression
    from unlearn_bench.checks.regression_report import power_to_text
    from unlearn_bench.cli.terminal import Watch
    from unlearn_bench.config.expectations import write_expectations
    from unlearn_bench.report.notes import measured_by
    from unlearn_bench.running.making import ExecutionConfig

    if not update and (table or profile or forget or disturbances is not None):
        raise OptionError(
            "--table, --profile, --forget and --disturbances work only with --update. Add --update, or leave them out."
        )
    benchmarks = load_config(config)
    recorded, file = _read_recorded(benchmarks, expectations, update)
    entry = _expectation(name, recorded, update, table, profile, forget, benchmarks)
    if disturbances is not None:
        entry = entry.model_copy(update={"disturbances": disturbances})
    if power:
        typer.echo(power_to_text(name, entry))
        return
    repeats = _repeats(name, entry, seed, update)
    if entry.disturbances and seed:
        entry = entry.model_copy(update={"seeds": seed[:1]})
    started = time.perf_counter()
    with temporary_store(db) as store, Watch() as watch:
        execution = ExecutionConfig(data, download, device, workers, watch, watch.say)
        tables, keys = regression.measure(benchmarks, store, entry, repeats, execution)
        measured = measured_by([run for run in store.runs() if run.key in keys])
        compared = regression.compare(entry, tables)
        if not update:
            compared = regression.retest(benchmarks, store, entry, tables, compared, retest, execution)
    _write(name, compared, time.perf_counter() - started, junit, summary)
    if update:
        write_expectations(file, {**recorded, name: regression.record(entry, tables, measured)})
        how = f"seed {entry.seeds[0]} undisturbed and disturbed" if entry.disturbances else "one per seed"
        typer.echo(f"Recorded {name} in {file}: {len(repeats)} repeats, {how}")
    elif any(comparison.fails for comparison in compared):
        raise typer.Exit(1)
    elif any(comparison.mark == "unexpected" for comparison in compared):
        option = f" --expectations {expectations}" if expectations else ""
        raise MissingExpectationError(
            f"Some values have no expectation. Record them with: unlearn-bench check {name}{option} --update"
        )


def _write(name: str, compared: list[Comparison], seconds: float, junit: Path | None, summary: Path | None) -> None:
    """Prints the check, and writes it to the files of --junit and --summary."""
    from unlearn_bench.checks.regression_report import to_junit, to_text
    from unlearn_bench.report.render import write_file

    typer.echo(to_text(name, compared))
    if junit is not None:
        write_file(to_junit(name, compared, seconds), junit)
    if summary is not None:
        write_file(to_text(name, compared, "markdown"), summary, append=True)


def _repeats(name: str, entry: Expectation, seed: list[int] | None, update: bool) -> list[int]:
    """Returns the repeats to measure: all for an update, else the first; without disturbances the seeds, if given."""
    if entry.disturbances and seed and not update and seed != entry.seeds[:1]:
        raise OptionError(
            f"The expectations of '{name}' hold for seed {entry.seeds[0]} only, and --seed is "
            f"{', '.join(map(str, seed))}. Leave --seed out."
        )
    if entry.disturbances:
        return entry.repeats if update else [0]
    return seed or (entry.seeds if update else entry.seeds[:1])


@contextlib.contextmanager
def temporary_store(url: str | None) -> Iterator[Store]:
    """Yields the database at a URL; without a URL a new one, deleted afterwards with its checkpoints."""
    from unlearn_bench.store import Store
    from unlearn_bench.store.locations import BESIDE

    if url is not None:
        yield Store(url)
        return
    with tempfile.TemporaryDirectory(prefix="unlearn-bench-check-") as folder:
        store = Store(f"sqlite:///{Path(folder) / 'runs.sqlite'}", artefacts=BESIDE)
        try:
            yield store
        except KeyboardInterrupt:
            typer.echo("Interrupted. A check without --db keeps no runs; with --db, it can continue later.", err=True)
            raise SystemExit(130) from None  # main() would say that finished runs are recorded
        finally:
            store.close()


def _read_recorded(benchmarks: Benchmarks, file: Path | None, update: bool) -> tuple[dict[str, Expectation], Path]:
    """Returns the recorded expectations by name, and the file to which an update writes."""
    from unlearn_bench.config.expectations import FILE, read_expectations, recorded_expectations

    if file is None:
        recorded = recorded_expectations(benchmarks.home, benchmarks.file, benchmarks.expectations)
        return recorded, benchmarks.home / FILE
    return ({} if update and not file.exists() else read_expectations(file)), file


def _expectation(
    name: str,
    recorded: dict[str, Expectation],
    update: bool,
    table: str | None,
    profile: str | None,
    forget: list[str] | None,
    benchmarks: Benchmarks,
) -> Expectation:
    """Returns the expectations of that name; for an update under a new name, expectations without values."""
    from unlearn_bench.config.expectations import Expectation
    from unlearn_bench.config.selection import Choice, select

    if name in recorded and not (table or profile or forget):
        return recorded[name]
    if not update:
        raise MissingExpectationError(
            f"No expectations are recorded under the name '{name}'. Known: {', '.join(recorded) or 'none'}. Record "
            f"them with: unlearn-bench check {name} --update --table A --profile demo --seed 0 --seed 1"
        )
    entry = benchmarks.table(table or "A")
    selection = select(benchmarks, Choice(profile=profile, forget=forget or ()), table=entry)
    return Expectation(
        table=table or "A",
        profile=selection.profile,
        forget=list(selection.forget),
        seeds=list(selection.seeds),
        tolerance={},
        measured="",
        values={},
    )
