"""The command that continuous integration runs: ``check``."""

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
from unlearn_bench.cli.opening import load_config
from unlearn_bench.errors import MissingExpectationError, OptionError

if TYPE_CHECKING:
    from unlearn_bench.config import Benchmarks
    from unlearn_bench.expectations import Expectation
    from unlearn_bench.store import Store


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="What is expected, by its name under `expectations`.")] = "demo",
    expectations: Annotated[
        Path | None, typer.Option("--expectations", help="A file of expectations, in place of benchmarks.yaml's.")
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Record what is measured now, and show what changes.")
    ] = False,
    table: Annotated[str | None, typer.Option("--table", help="With --update, of a new name: the table.")] = None,
    profile: arg.Profile = None,
    forget: arg.Forget = None,
    seed: arg.Seed = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML to this file.")] = None,
    summary: Annotated[
        Path | None, typer.Option("--summary", help="Add Markdown to this file, such as $GITHUB_STEP_SUMMARY.")
    ] = None,
    retest: Annotated[
        int, typer.Option("--retest", min=0, help="Further repeats in which what fails must fail too; 0 for none.")
    ] = 2,
    disturbances: Annotated[
        int | None,
        typer.Option(
            "--disturbances", min=0, help="With --update: times that the first seed is measured from disturbed weights."
        ),
    ] = None,
    power: Annotated[
        bool, typer.Option("--power", help="Measure nothing: print the smallest change that a check finds.")
    ] = False,
    plugin: arg.Plugin = None,
    config: arg.Config = None,
    db: Annotated[
        str | None, typer.Option("--db", help="Database to make the runs in; default: a new one, gone afterwards.")
    ] = None,
    data: arg.Data = None,
    download: arg.Download = False,
    device: arg.Device = "auto",
    workers: arg.Workers = None,
) -> None:
    """Measure a table anew and compare it with what is expected; exit code 1 where a value is not as recorded."""
    from unlearn_bench import regression
    from unlearn_bench.bench import Machinery
    from unlearn_bench.expectations import write_expectations
    from unlearn_bench.report import regression as shown
    from unlearn_bench.report.notes import measured_by
    from unlearn_bench.report.render import write_file
    from unlearn_bench.terminal import Watch

    benchmarks = load_config(config)
    known, file = _known(benchmarks, expectations, update)
    if not update and (table or profile or forget or disturbances is not None):
        raise OptionError(
            "--table, --profile, --forget and --disturbances say what --update records. Add --update, or leave "
            "them out."
        )
    entry = _entry(name, known, update, table, profile, forget, benchmarks)
    if disturbances is not None:
        entry = entry.model_copy(update={"disturbances": disturbances})
    if power:
        typer.echo(shown.power_to_text(name, entry))
        return
    repeats = _repeats(name, entry, seed, update)
    if entry.disturbances and seed:
        entry = entry.model_copy(update={"seeds": seed[:1]})
    started = time.perf_counter()
    with temporary_store(db) as store, Watch() as watch:
        machinery = Machinery(data, download, device, workers, watch, watch.say)
        tables, keys = regression.measure(benchmarks, store, entry, repeats, machinery)
        by = measured_by([run for run in store.runs() if run.key in keys])
        compared = regression.compare(entry, tables)
        further = [each for each in entry.repeats if each not in repeats][:retest]
        if further and not update and any(each.fails for each in compared):
            what = "disturbances" if entry.disturbances else "seeds"
            watch.say(f"{shown.verdict(compared)} Measured again with {what} {', '.join(map(str, further))}.")
            tables, _ = regression.measure(benchmarks, store, entry, [*repeats, *further], machinery)
            compared = regression.settle(compared, regression.compare(entry, tables))
    typer.echo(shown.to_text(name, compared))
    if junit is not None:
        write_file(shown.to_junit(name, compared, time.perf_counter() - started), junit)
    if summary is not None:
        write_file(shown.to_text(name, compared, "markdown"), summary, append=True)
    if update:
        write_expectations(file, {**known, name: regression.record(entry, tables, by)})
        how = f"seed {entry.seeds[0]} undisturbed and disturbed" if entry.disturbances else "as many seeds"
        typer.echo(f"Recorded {name}: {len(repeats)} repeats, {how}, in {file}")
    elif any(each.fails for each in compared):
        raise typer.Exit(1)
    elif any(each.mark == "unexpected" for each in compared):
        raise MissingExpectationError(
            f"Some values have no expectation. Record them with: {_update(name, expectations)}"
        )


def _repeats(name: str, entry: Expectation, seed: list[int] | None, update: bool) -> list[int]:
    """Returns what is measured: all repeats for an update, else the first; seeds as the user chose them."""
    if entry.disturbances and seed and not update and seed != entry.seeds[:1]:
        raise OptionError(
            f"Expectations of '{name}' are of seed {entry.seeds[0]} alone, --seed is {', '.join(map(str, seed))}. "
            "Leave --seed out."
        )
    if entry.disturbances:
        return entry.repeats if update else [0]
    return seed or (entry.seeds if update else entry.seeds[:1])


@contextlib.contextmanager
def temporary_store(url: str | None) -> Iterator[Store]:
    """Yields the database of an URL; without one, an empty one that is gone afterwards with its checkpoints."""
    from unlearn_bench.store import Store

    if url is not None:
        yield Store(url)
        return
    with tempfile.TemporaryDirectory(prefix="unlearn-bench-check-") as folder:
        store = Store(f"sqlite:///{Path(folder) / 'runs.sqlite'}")
        try:
            yield store
        except KeyboardInterrupt:
            typer.echo("Interrupted. Nothing is kept of a check without --db; with it, it goes on.", err=True)
            raise SystemExit(130) from None  # past the sentence that elsewhere is true
        finally:
            store.close()


def _known(benchmarks: Benchmarks, given: Path | None, update: bool) -> tuple[dict[str, Expectation], Path]:
    from unlearn_bench.expectations import read_expectations

    if given is None:
        return dict(benchmarks.expectations), benchmarks.file
    return ({} if update and not given.exists() else read_expectations(given)), given


def _entry(
    name: str,
    known: dict[str, Expectation],
    update: bool,
    table: str | None,
    profile: str | None,
    forget: list[str] | None,
    benchmarks: Benchmarks,
) -> Expectation:
    """Returns what is expected under a name; of one that is recorded now, with no values yet."""
    from unlearn_bench.expectations import Expectation
    from unlearn_bench.selection import select

    if name in known and not (table or profile or forget):
        return known[name]
    if not update:
        raise MissingExpectationError(
            f"Nothing is expected under the name '{name}'. Known: {', '.join(known) or 'none'}. Record it with: "
            f"unlearn-bench check {name} --update --table A --profile demo --seed 0 --seed 1"
        )
    entry = benchmarks.table(table or "A")
    chosen = select(benchmarks, profile=profile, forget=forget or (), table=entry)
    return Expectation(
        table=table or "A",
        profile=chosen.profile,
        forget=list(chosen.forget),
        seeds=list(chosen.seeds),
        tolerance={},
        measured="",
        values={},
    )


def _update(name: str, given: Path | None) -> str:
    return f"unlearn-bench check {name}{f' --expectations {given}' if given else ''} --update"
