"""``unlearn-bench report``: print a table, or write an HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.session import Network, open_bench, show_table, write_page
from unlearn_bench.core.errors import OptionError
from unlearn_bench.core.sources import Reading

if TYPE_CHECKING:
    from unlearn_bench.report.bench import Bench

VIEWS = "--against-paper, --noise-floor, --audit-metrics, --classes, --leaderboard and --likeness"


@app.command()
def report(
    table: arg.Tables = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Write an HTML page to this file: the given tables, or else all results."),
    ] = None,
    embedding: Annotated[
        Literal["pca", "umap"],
        typer.Option("--embedding", help="Embedding of the features on the page; umap takes a minute."),
    ] = "pca",
    format: arg.Format = None,
    against: Annotated[bool, typer.Option("--against-paper", help="Print our values beside the paper's.")] = False,
    floor: Annotated[
        bool, typer.Option("--noise-floor", help="Print differences in units of that of two retrained models.")
    ] = False,
    classes: Annotated[
        bool, typer.Option("--classes", help="Print the damage per class, and how D_f is classified.")
    ] = False,
    leaderboard: Annotated[
        bool, typer.Option("--leaderboard", help="Rank the methods of one or several tables by their mean gap.")
    ] = False,
    audit: Annotated[
        bool, typer.Option("--audit-metrics", help="Print the metrics that a cheating method passes.")
    ] = False,
    likeness: Annotated[
        bool,
        typer.Option("--likeness", help="Print how alike the models are to retrained ones, as `compare` computed it."),
    ] = False,
    profile: arg.Profile = None,
    model: arg.Model = None,
    argument: arg.Arguments = None,
    pretrained: arg.Pretrained = None,
    dataset: arg.Dataset = None,
    size: arg.Size = None,
    forget: arg.Forget = None,
    then: arg.Then = None,
    seed: arg.Seed = None,
    precision: arg.Precision = None,
    output: arg.Output = None,
    options: arg.Options = None,
    plugin: arg.Plugin = None,
    config: arg.Config = None,
    db: arg.Db = None,
    artefacts: arg.Artefacts = None,
) -> None:
    """Print a table from the database without running anything, or write an HTML page of all results."""
    from unlearn_bench.report.render import FORMATS, format_of, write_file

    views = {"paper": against, "floor": floor, "audit": audit, "classes": classes, "leaderboard": leaderboard}
    views["likeness"] = likeness
    chosen = [name for name, is_chosen in views.items() if is_chosen]
    if len(chosen) > 1:
        raise OptionError(f"{VIEWS} exclude each other. Give only one of them.")
    if html is not None and (chosen or output is not None or format is not None):
        raise OptionError(f"--html writes a page with every view. Leave out --format, --output, {VIEWS}.")
    if html is None and not (leaderboard and table) and len(table or ()) != 1:
        how = "Give --table, also repeatedly." if leaderboard else "Give --table once, or --html FILE."
        raise OptionError(f"report prints one table, got {len(table or ())}. {how}")
    format = format_of(format, output)
    reading, network = Reading(size), Network(model, argument, pretrained)
    bench = open_bench(
        config, db, profile, dataset, None, forget, seed, precision, False, options, then, reading, network, artefacts
    )
    if html is not None:
        write_page(bench, table or [], embedding, html)
        return
    name, *others = table or [""]
    if not chosen and output is None and format == "text":
        show_table(bench.table(name), format)
        return
    text = _view(bench, [name, *others], format, chosen[0]) if chosen else FORMATS[format](bench.table(name))
    if output is not None:
        write_file(text, output)
    else:
        typer.echo(text)


def _view(bench: Bench, tables: list[str], format: str, view: str) -> str:
    from unlearn_bench.report.cheat_audit import audit_metrics
    from unlearn_bench.report.classes import describe_classes
    from unlearn_bench.report.floor import describe_floor
    from unlearn_bench.report.leaderboard import describe
    from unlearn_bench.report.leaderboard import leaderboard as build
    from unlearn_bench.report.likeness import describe_likeness
    from unlearn_bench.report.render import against_paper, with_notes

    if view == "leaderboard":
        return with_notes(*describe(build(bench.placed_tables(tables), bench.store)), format)
    (table,) = tables
    if view == "paper":
        return against_paper(bench.table(table), format)
    entry = bench.benchmarks.table(table)
    placed = bench.placed(entry)
    if view == "classes":
        return with_notes(*describe_classes(placed, bench.store), format)
    if view == "likeness":
        return with_notes(*describe_likeness(table, placed, bench.store), format)
    if view == "floor":
        return with_notes(*describe_floor(entry, placed, bench.store), format)
    if any(selection != placed[0][1] for _, selection in placed):
        raise OptionError(
            f"Table {table} has several data sets, and --audit-metrics needs a table with one. Use --table cheats."
        )
    cheats = [method.name for method in bench.store.methods().values() if method.is_cheat]
    return with_notes(*audit_metrics(bench.table(table), sorted(cheats)), format)
