"""The command that draws: ``figure``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.session import Network, open_bench
from unlearn_bench.core.errors import OptionError, unknown_name
from unlearn_bench.core.sources import Reading

if TYPE_CHECKING:
    from unlearn_bench.report.embedding import Embedding

OF_TABLES = ("gaps", "ranks")
EMBEDDINGS: tuple[Embedding, ...] = ("umap", "pca")


@app.command()
def figure(
    name: Annotated[
        str,
        typer.Argument(
            help="A figure (see `list figures`); gaps: the gaps of --table; ranks: mean ranks over each --table."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", help="File: .png, .svg or .pdf.")],
    table: Annotated[
        list[str] | None,
        typer.Option("--table", help="For gaps and ranks: the table; default: 3. Repeat it for ranks."),
    ] = None,
    embedding: Annotated[
        str | None,
        typer.Option("--embedding", help="For features: umap or pca; default: umap if it is installed."),
    ] = None,
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
    options: arg.Options = None,
    plugin: arg.Plugin = None,
    config: arg.Config = None,
    db: arg.Db = None,
    artefacts: arg.Artefacts = None,
) -> None:
    """Draw a figure of what the database holds; `reproduce --figure NAME` makes what it needs."""
    from unlearn_bench.report.charts.rendering import check_suffix, save
    from unlearn_bench.report.figures import figure_of, gaps_of, ranks_of

    check_suffix(output)
    layout = next((known for known in EMBEDDINGS if known == embedding), None)
    if embedding is not None and layout is None:
        raise unknown_name("embedding", embedding, EMBEDDINGS)
    reading, network = Reading(size), Network(model, argument, pretrained)
    bench = open_bench(
        config, db, profile, dataset, None, forget, seed, precision, False, options, then, reading, network, artefacts
    )
    tables = table or ["3"]
    if name not in OF_TABLES and table:
        bench.benchmarks.figure(name)
        raise OptionError(
            f"--table {table[0]} is of the figures gaps and ranks, and the figure is {name}. Leave one of them out."
        )
    if name == "gaps" and len(tables) > 1:
        raise OptionError(f"The figure gaps shows one table, got {len(tables)}. Give --table once.")
    if name == "gaps":
        made = gaps_of(bench, tables[0])
    else:
        made = ranks_of(bench, tables) if name == "ranks" else figure_of(bench, name, layout)
    save(made, output)
    typer.echo(f"Written to {output}")
