"""The figures of a bench for paper, each as one Vega-Lite specification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unlearn_bench.config.selection import Placed, title_of
from unlearn_bench.report.bench import Bench
from unlearn_bench.report.charts.clouds import cloud_panels
from unlearn_bench.report.charts.curves import NOTE, curve_panels
from unlearn_bench.report.charts.gaps import gap_panels
from unlearn_bench.report.charts.paper import on_paper
from unlearn_bench.report.charts.ranks import rank_panels
from unlearn_bench.report.curves import curves_of
from unlearn_bench.report.embedding import Embedding, clouds_of
from unlearn_bench.report.floor import Floor, floors_of
from unlearn_bench.report.leaderboard import leaderboard, notes_of
from unlearn_bench.report.tables import Table

GAP = "Gap: how far a method's mean lies from the retrained model's mean."
NO_MARKS = "A panel without black: no gap is significantly larger than another, or a method lacks configurations."
NO_BAND = "No band: it needs retrained models of at least two seeds."
NO_ONE_BAND = "No band: the rows have several retrained models."


def figure_of(bench: Bench, name: str, embedding: Embedding | None) -> dict[str, Any]:
    """Returns a figure of benchmarks.yaml.

    Args:
        bench: the configurations and the database.
        name: of the figure.
        embedding: of features; None for UMAP where it is installed, else principal components.

    Raises:
        UnknownNameError: benchmarks.yaml has no such figure.
        MissingRunError: a run that it shows is not recorded.
        OptionError: it shows one configuration and several are chosen, or UMAP is wanted and not installed.
    """
    entry = bench.benchmarks.figure(name)
    placed = bench.placed(entry)
    title = f"Figure {name}. {title_of(entry, placed)}: {_measured(placed)}"
    if entry.kind == "features":
        clouds = clouds_of(name, placed, bench.store, embedding)
        return on_paper(title, cloud_panels(clouds, title), clouds.notes)
    curves = curves_of(name, entry, placed, bench.store)
    return on_paper(title, curve_panels(curves, bench.store.metrics()), (NOTE, *curves.notes))


def gaps_of(bench: Bench, name: str) -> dict[str, Any]:
    """Returns the gaps of all methods of a table in all its metrics.

    Raises:
        UnknownNameError: benchmarks.yaml has no such table.
        MissingRunError: a retrained model is not recorded.
        OptionError: the table has no method to show.
    """
    table = bench.table(name)
    placed = bench.placed(bench.benchmarks.table(name))
    if any(selection != placed[0][1] for _, selection in placed):  # a band would be wrong for some rows
        return gap_figure(table, {}, NO_ONE_BAND)
    return gap_figure(table, floors_of(placed[0][1], [column.name for column in table.columns], bench.store))


def ranks_of(bench: Bench, names: Sequence[str]) -> dict[str, Any]:
    """Returns the mean ranks of the methods that one or several tables share.

    Raises:
        UnknownNameError, MissingRunError, OptionError: see :func:`unlearn_bench.report.leaderboard.leaderboard`.
    """
    placed = bench.placed_tables(names)
    board = leaderboard(placed, bench.store)
    measured = "; ".join(f"table {name}: {_measured(rows)}" for name, _, rows in placed)
    return on_paper(f"Mean ranks, {measured}", rank_panels(board), notes_of(board))


def gap_figure(table: Table, floors: dict[str, Floor], without: str = NO_BAND) -> dict[str, Any]:
    """Returns the figure of a table's gaps.

    Args:
        table: with at least one method besides the references.
        floors: by metric; empty where there are none.
        without: what is said where there is no floor.

    Raises:
        OptionError: the table has no method to show.
    """
    panels = gap_panels(table, floors)
    has_best = [any(row.cells[k].best for row in table.rows) for k in range(len(table.columns))]
    notes = [GAP, *([] if all(has_best) else [NO_MARKS]), *([] if floors else [without])]
    return on_paper(f"Table {table.name}. {table.title}", panels, notes)


def _measured(placed: Placed) -> str:
    """Returns the data sets that were measured, and the profile."""
    datasets = dict.fromkeys(selection.experiment.dataset for _, selection in placed)
    return f"{', '.join(datasets)}, profile {placed[0][1].profile}"
