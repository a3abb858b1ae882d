"""Commands that read: ``report``, ``claims``, ``runs``, ``show``, ``status``, ``list``, ``explain``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.opening import load_config, open_bench, show_table
from unlearn_bench.errors import OptionError, unknown_name

if TYPE_CHECKING:
    from unlearn_bench.bench import Bench


@app.command()
def report(
    table: arg.Tables = None,
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


@app.command("open")
def open_(
    profile: arg.Profile = None,
    dataset: arg.Dataset = None,
    forget: arg.Forget = None,
    seed: arg.Seed = None,
    config: arg.Config = None,
    db: arg.Db = None,
) -> None:
    """Write the page of all that is recorded beside the database, and show it in the browser."""
    import webbrowser

    bench = open_bench(config, db, profile, dataset, None, forget, seed, create=False)
    file = (bench.store.path.parent if bench.store.path else Path("results")).resolve() / "report.html"
    _write_page(bench, [], "pca", file)
    if not webbrowser.open(file.as_uri()):
        typer.echo("No browser could be started here: open the file yourself.")


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
    json: arg.Json = False,
    config: arg.Config = None,
    db: arg.Db = None,
) -> None:
    """Say which of the paper's statements the record confirms, and which not."""
    from unlearn_bench.report.listing import show_listing
    from unlearn_bench.report.render import with_notes, write_file
    from unlearn_bench.verdicts import describe_claims

    bench = open_bench(config, db, profile, dataset, None, forget, seed, create=False, then=then)
    header, body, notes = describe_claims(bench)
    text = show_listing((header, body), True) if json else with_notes(header, body, notes, format)
    if output is not None:
        write_file(text, output)
    else:
        typer.echo(text)


@app.command()
def runs(
    method: Annotated[str | None, typer.Option("--method", help="Only this method.")] = None,
    status: Annotated[str | None, typer.Option("--status", help="Only done, failed or diverged.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", help="Only this data set.")] = None,
    forget: Annotated[str | None, typer.Option("--forget", help="Only this forget set.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, max=arg.MOST, help="Only this seed.")] = None,
    profile: Annotated[str | None, typer.Option("--profile", help="Only this profile.")] = None,
    sort: Annotated[
        str, typer.Option("--sort", help="A column, or a metric; finished: the newest first.")
    ] = "finished",
    limit: Annotated[int, typer.Option("--limit", min=1, help="The first so many.")] = 50,
    json: arg.Json = False,
    config: arg.Config = None,
    db: arg.Db = None,
) -> None:
    """List recorded runs, newest first."""
    from unlearn_bench.report.listing import list_runs, show_listing, sorted_runs

    store = open_bench(config, db, create=False).store
    matching = store.runs(method=method, status=status, dataset=dataset, forget=forget, seed=seed, profile=profile)
    found = sorted_runs(matching, sort)[:limit]
    more = [f"{limit} of {len(matching)}; more with --limit."] if len(matching) > limit else []
    metric = sort if any(sort in run.values for run in found) else None
    typer.echo(show_listing(list_runs(found, metric), json, more))


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="A run's number, or the beginning of its key.")],
    json: arg.Json = False,
    config: arg.Config = None,
    db: arg.Db = None,
) -> None:
    """Print all that is recorded of one run."""
    from unlearn_bench.report.listing import describe_run, run_as_json
    from unlearn_bench.report.notes import own_inputs, twins

    store = open_bench(config, db, create=False).store
    found = store.run(run)
    if json:
        typer.echo(run_as_json(found))
        return
    remarks = [*own_inputs([found], store.methods()), *twins([found], store)]
    typer.echo(describe_run(found, store.metrics(), store.predicted([found.key]).get(found.key), remarks))


@app.command()
def status(
    profile: arg.Profile = None,
    dataset: arg.Dataset = None,
    json: arg.Json = False,
    config: arg.Config = None,
    db: arg.Db = None,
) -> None:
    """Say how much of each table is recorded, and how long the rest would take."""
    from unlearn_bench.report.listing import progress_of, show_listing
    from unlearn_bench.selection import title_of

    bench = open_bench(config, db, profile, dataset, create=False)
    body: list[list[Any]] = []
    for name, entry in bench.benchmarks.tables.items():
        try:
            placed = bench.placed(entry)
        except OptionError:  # the data set that was chosen has no such setting
            body.append([name, bench.benchmarks.papers_title(entry), None, None, None, None])
            continue
        found = progress_of(placed, bench.store)
        left = None if found.seconds is None else round(found.seconds)
        body.append([name, title_of(entry, placed), found.done, found.total, found.broken, left])
    notes = [
        f"Profile {bench.selection.profile}, {bench.selection.experiment.dataset}; {bench.store.shown_url}",
        "Seconds left: on one core or GPU, by the recorded runs of each method; – where it has none.",
    ]
    header = ["table", "title", "done", "of", "diverged or failed", "seconds left"]
    typer.echo(show_listing((header, body), json, notes))


@app.command("list")
def list_(
    kind: Annotated[
        str, typer.Argument(help="methods, metrics, datasets, models, settings, tables, figures or profiles.")
    ],
    json: arg.Json = False,
    plugin: arg.Plugin = None,
    config: arg.Config = None,
) -> None:
    """List what there is of a kind."""
    from unlearn_bench.catalogue import list_kind
    from unlearn_bench.report.listing import show_listing

    listing, notes = list_kind(kind, load_config(config))
    typer.echo(show_listing(listing, json, notes))


@app.command()
def explain(
    name: Annotated[str, typer.Argument(help="A method or a metric.")],
    plugin: arg.Plugin = None,
    config: arg.Config = None,
) -> None:
    """Print a method's exact recipe, every hyper-parameter with default, range and source; or a metric's definition."""
    from unlearn_bench.catalogue import describe_entry

    typer.echo(describe_entry(name, load_config(config)))
