"""The content of a page as plain data, without HTML: sections with tables, charts and text."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unlearn_bench.config.benchmarks import Row
from unlearn_bench.config.selection import Selection
from unlearn_bench.report.notes import user_options, words_of
from unlearn_bench.report.tables import Table, TableRow, by_selection, comparable_runs, runs_of_row
from unlearn_bench.store import Store
from unlearn_bench.store.records import RunRecord


@dataclass(frozen=True)
class TextTable:
    """A table of text cells with notes below it. Without a header, the notes state why there is no table."""

    title: str
    header: Sequence[str]
    body: Sequence[Sequence[str]]
    notes: Sequence[str]


@dataclass(frozen=True)
class Chart:
    """A Vega-Lite chart, and a description of it for screen readers."""

    title: str
    alt: str
    spec: dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """A group of charts with notes below them. Without charts, the notes state why there are none."""

    title: str
    charts: Sequence[Chart]
    notes: Sequence[str]


@dataclass(frozen=True)
class Cost:
    """The mean cost of a row's runs: images that passed a network, forward and backward, and seconds."""

    images: float
    seconds: float


@dataclass(frozen=True)
class RowView:
    """A row with the runs of its cells.

    Attributes:
        row: the cells.
        runs: the runs, in the order of the configurations.
        options: all hyper-parameters as text.
        by: version of the method and of the package.
        command: the command that reproduces the row.
        cost: the mean cost; None if no run is done.
    """

    row: TableRow
    runs: tuple[RunRecord, ...]
    options: str
    by: str
    command: str
    cost: Cost | None


@dataclass(frozen=True)
class TableSection:
    """A table with its rows, the command that reproduces it, and the figures and analyses below it."""

    table: Table
    rows: tuple[RowView, ...]
    command: str
    figures: tuple[Figure, ...]
    analyses: tuple[TextTable, ...]


@dataclass(frozen=True)
class Page:
    """The content of a page.

    Attributes:
        title: title of the page.
        provenance: version of the package, and number of recorded runs.
        tables: the tables that have runs.
        figures: the paper's figures of features and curves.
        claims: the paper's claims, tested on recorded runs.
        lacking: tables and figures that cannot be shown, with the reason or the command that makes their runs, one
            sentence each.
    """

    title: str
    provenance: str
    tables: tuple[TableSection, ...]
    figures: tuple[Figure, ...]
    claims: TextTable
    lacking: tuple[str, ...]


def row_views(table: Table, placed: Sequence[tuple[Row, Selection]], store: Store) -> tuple[RowView, ...]:
    """Returns a table's rows with the runs of their cells."""
    groups = []
    for selection, rows in by_selection(placed):
        recorded = comparable_runs(selection.experiment.key, store)
        for row in rows:
            runs = runs_of_row(recorded, row, selection)
            groups.append((row, selection, [runs[pair] for pair in selection.configurations if pair in runs]))
    return tuple(
        RowView(
            row=cells,
            runs=tuple(runs),
            options=_pairs(runs[0].options) if runs else "",
            by=_by(runs),
            command=_command(row, selection, cells.is_reference),
            cost=cost_of(runs),
        )
        for cells, (row, selection, runs) in zip(table.rows, groups, strict=True)
    )


def table_command(name: str, selection: Selection) -> str:
    """Returns the command that reproduces a table."""
    return f"unlearn-bench reproduce --table {name} --profile {selection.profile}{user_options(selection)}"


def _command(row: Row, selection: Selection, is_reference: bool) -> str:
    words = words_of(selection) + "".join(f" --seed {seed}" for seed in selection.seeds)
    if is_reference:
        return f"unlearn-bench train{words}"
    sets = "".join(f" --set {shlex.quote(f'{name}={_value(value)}')}" for name, value in row.options.items())
    tuned = " --options FILE" if selection.remarks else ""
    return f"unlearn-bench run --method {shlex.quote(row.method)}{words}{sets}{tuned}"


def _value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _by(runs: Sequence[RunRecord]) -> str:
    versions = sorted({f"{run.versions} of unlearn-bench {run.environment.code_version}" for run in runs})
    return f"version {', '.join(versions)}" if versions else ""


def cost_of(runs: Sequence[RunRecord]) -> Cost | None:
    """Returns the mean cost of the done runs; None without a record of it."""
    models = [run.model for run in runs if run.status == "done" and run.model is not None]
    if not models:
        return None
    return Cost(
        images=statistics.fmean(model.forward_images + model.backward_images for model in models),
        seconds=statistics.fmean(model.method_seconds for model in models),
    )


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "none"
