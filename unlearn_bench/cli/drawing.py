"""The command that draws: ``figure``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.opening import open_bench
from unlearn_bench.errors import OptionError, unknown_name

if TYPE_CHECKING:
    from unlearn_bench.bench import Bench

EMBEDDINGS = ("umap", "pca")


@app.command()
def figure(
    name: Annotated[str, typer.Argument(help="A figure of benchmarks.yaml (see `list figures`), or gaps: of --table.")],
    output: Annotated[Path, typer.Option("--output", help="File: .png, .svg or .pdf.")],
    table: Annotated[str | None, typer.Option("--table", help="Of gaps: the table, 3 where it is left out.")] = None,
    embedding: Annotated[
        str | None, typer.Option("--embedding", help="Of features: umap or pca; default: umap where it is installed.")
    ] = None,
    profile: arg.Profile = None,
    dataset: arg.Dataset = None,
    forget: arg.Forget = None,
    then: arg.Then = None,
    seed: arg.Seed = None,
    precision: arg.Precision = None,
    options: arg.Options = None,
    config: arg.Config = None,
    db: arg.Db = None,
) -> None:
    """Draw a figure of what the database holds; `reproduce --figure NAME` makes what it needs."""
    from unlearn_bench.report.figures import check_suffix, save

    check_suffix(output)
    if embedding not in (None, *EMBEDDINGS):
        raise unknown_name("embedding", embedding, EMBEDDINGS)
    bench = open_bench(config, db, profile, dataset, None, forget, seed, precision, False, options, then)
    if name != "gaps" and table is not None:
        raise OptionError(f"--table {table} is of the figure gaps, and the figure is {name}. Leave one of them out.")
    save(_gaps(bench, table or "3") if name == "gaps" else _of_paper(bench, name, embedding), output)
    typer.echo(f"Written to {output}")


def _gaps(bench: Bench, table: str) -> Any:
    from unlearn_bench.report.figures.gaps import gap_plot
    from unlearn_bench.report.floor import floors_of

    made = bench.table(table)
    selections = [selection for _, selection in bench.placed(bench.benchmarks.table(table))]
    is_one = all(selection == selections[0] for selection in selections)  # else a band would be wrong for some rows
    metrics = [column.name for column in made.columns]
    return gap_plot(made, floors_of(selections[0], metrics, bench.store) if is_one else {})


def _of_paper(bench: Bench, name: str, embedding: Any) -> Any:
    from unlearn_bench.report.curves import curves_of
    from unlearn_bench.report.embedding import clouds_of
    from unlearn_bench.report.figures.clouds import cloud_plot
    from unlearn_bench.report.figures.lines import line_plot
    from unlearn_bench.selection import title_of

    entry = bench.benchmarks.figure(name)
    placed = bench.placed(entry)
    title = f"Figure {name}. {title_of(entry, placed)}"
    if entry.kind == "features":
        return cloud_plot(title, clouds_of(name, placed, bench.store, embedding))
    return line_plot(title, curves_of(name, entry, placed, bench.store), bench.store.metrics())
