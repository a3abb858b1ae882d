"""Commands that read: ``report``, ``claims``, ``runs``, ``show``, ``status``, ``list``, ``explain``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.opening import load_config, open_bench, show_table
from unlearn_bench.errors import OptionError, unknown_name

if TYPE_CHECKING:
    from unlearn_bench.bench import Bench


@app.command()
def report(
    table: Annotated[
        list[str] | None,
        typer.Option("--table", help="A table of benchmarks.yaml; see `list tables`. With --html: repeatable."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Write a page to this file: all that is recorded, or the --table given."),
    ] = None,
    embedding: Annotated[
        Literal["pca", "umap"], typer.Option("--embedding", help="Of the page's features; umap takes a minute.")
    ] = "pca",
    format: arg.Format = "text",
    against: Annotated[bool, typer.Option("--against-paper", help="Our values beside the paper's own.")] = False,
    floor: Annotated[bool, typer.Option("--noise-floor", help="Gaps in units of retrained against retrained.")] = False,
    classes: Annotated[bool, typer.Option("--classes", help="By class: damage, and where D_f is classified.")] = False,
    audit: Annotated[bool, typer.Option("--audit-metrics", help="Which metrics a cheat passes.")] = False,
    profile: arg.Profile = None,
    dataset: arg.Dataset = None,
    forget: arg.Forget = None,
    then: arg.Then = None,
    seed: arg.Seed = None,
    precision: arg.Precision = None,
    output: arg.Output = None,
    options: arg.Options = None,
    config: arg.Config = None,
    db: arg.Db = None,
) -> None:
    """Print a table from the database alone, or write a page of all that it holds."""
    from unlearn_bench.report.render import FORMATS, write_file

    if format not in FORMATS:
        raise unknown_name("format", format, FORMATS)
    kinds = {"paper": against, "floor": floor, "audit": audit, "classes": classes}
    chosen = [name for name, wanted in kinds.items() if wanted]
    if len(chosen) > 1:
        raise OptionError(
            "--against-paper, --noise-floor, --audit-metrics and --classes are four reports. Give one of them."
        )
    if html is not None and (chosen or output is not None or format != "text"):
        raise OptionError("--html writes a page with everything. Leave --format, --output and the single reports out.")
    if html is None and len(table or ()) != 1:
        raise OptionError(
            f"report prints one table, and {len(table or ())} are given. Give --table once, or --html FILE."
        )
    bench = open_bench(
        config, db, profile, dataset, None, forget, seed, precision, create=False, options=options, then=then
    )
    if html is not None:
        _write_page(bench, table or [], embedding, html)
        return
    (name,) = table or [""]
    if not chosen and output is None and format == "text":
        show_table(bench.table(name), format)
        return
    text = _analysis(bench, name, format, chosen[0]) if chosen else FORMATS[format](bench.table(name))
    if output is not None:
        write_file(text, output)
    else:
        typer.echo(text)


def _write_page(bench: Bench, tables: list[str], embedding: Literal["pca", "umap"], file: Path) -> None:
    from unlearn_bench.pages import build_page
    from unlearn_bench.report.page import to_html
    from unlearn_bench.report.render import write_file
    from unlearn_bench.terminal import Watch

    with Watch() as watch:
        page = build_page(bench, tables, embedding, watch)
    write_file(to_html(page), file)
    typer.echo(f"Written to {file}")


def _analysis(bench: Bench, table: str, format: str, kind: str) -> str:
    from unlearn_bench.report.classes import describe_classes
    from unlearn_bench.report.floor import describe_floor
    from unlearn_bench.report.fooled import audit_metrics
    from unlearn_bench.report.render import against_paper, with_notes

    if kind == "paper":
        return against_paper(bench.table(table), format)
    entry = bench.benchmarks.table(table)
    placed = bench.placed(entry)
    if kind == "classes":
        return with_notes(*describe_classes(placed, bench.store), format)
    if kind == "floor":
        return with_notes(*describe_floor(entry, placed, bench.store), format)
    if any(other != placed[0][1] for _, other in placed):
        raise OptionError(
            f"Table {table} has several data sets, and each would fool metrics in its own way. Use cheats."
        )
    cheats = [method.name for method in bench.store.methods().values() if method.is_cheat]
    return with_notes(*audit_metrics(bench.table(table), sorted(cheats)), format)


@app.command()
def claims(
    profile: arg.Profile = None,
    dataset: arg.Dataset = None,
    forget: arg.Forget = None,
    then: arg.Then = None,
    seed: arg.Seed = None,
    format: arg.Format = "text",
    output: arg.Output = None,
    config: arg.Config = None,
    db: arg.Db = None,
) -> None:
    """Say which of the paper's statements the record confirms, and which not."""
    from unlearn_bench.report.render import with_notes, write_file
    from unlearn_bench.verdicts import describe_claims

    bench = open_bench(config, db, profile, dataset, None, forget, seed, create=False, then=then)
    text = with_notes(*describe_claims(bench), format)
    if output is not None:
        write_file(text, output)
    else:
        typer.echo(text)


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

    store = open_bench(config, db, create=False).store
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

    store = open_bench(config, db, create=False).store
    found = store.run(run)
    typer.echo(describe_run(found, store.metrics(), store.predicted([found.key]).get(found.key)))


@app.command()
def status(
    profile: arg.Profile = None, dataset: arg.Dataset = None, config: arg.Config = None, db: arg.Db = None
) -> None:
    """Say how much of each table is recorded."""
    from unlearn_bench.report.listing import plain_table, progress_of

    bench = open_bench(config, db, profile, dataset, create=False)
    body = []
    for name, entry in bench.benchmarks.tables.items():
        try:
            body.append([name, entry.title, *progress_of(bench.placed(entry), bench.store)])
        except OptionError:  # the data set that was chosen has no such setting
            body.append([name, entry.title, "–", "–", "–"])
    typer.echo(f"Profile {bench.selection.profile}, {bench.selection.experiment.dataset}; {bench.store.shown_url}")
    typer.echo(plain_table(["table", "title", "done", "of", "diverged or failed"], body))


@app.command("list")
def list_(
    kind: Annotated[
        str, typer.Argument(help="methods, metrics, datasets, models, settings, tables, figures or profiles.")
    ],
    plugin: arg.Plugin = None,
    config: arg.Config = None,
) -> None:
    """List what there is of a kind."""
    from unlearn_bench.catalogue import describe_kind

    typer.echo(describe_kind(kind, load_config(config)))


@app.command()
def explain(
    method: Annotated[str, typer.Argument(help="A method.")],
    plugin: arg.Plugin = None,
    config: arg.Config = None,
) -> None:
    """Print a method's exact recipe: every hyper-parameter with default, range and source."""
    from unlearn_bench.catalogue import describe_method

    typer.echo(describe_method(method, load_config(config)))
