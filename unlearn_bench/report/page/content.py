"""What a page shows, as plain data: sections of tables, charts and words. No HTML here."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unlearn_bench.config import Row
from unlearn_bench.report.notes import given_words, words_of
from unlearn_bench.report.tables import Table, TableRow, by_selection, comparable_runs, runs_of_row
from unlearn_bench.selection import Selection
from unlearn_bench.store import Store
from unlearn_bench.store.records import RunRecord


@dataclass(frozen=True)
class Words:
    """A table of words with notes below it, as the analyses return them; or, with no header, why there is none."""

    title: str
    header: Sequence[str]
    body: Sequence[Sequence[str]]
    notes: Sequence[str]


@dataclass(frozen=True)
class Chart:
    """A Vega-Lite chart, and in words what it shows for who does not see it."""

    title: str
    alt: str
    spec: dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """Charts that belong together, with notes below them; or, with no chart, why there is none."""

    title: str
    charts: Sequence[Chart]
    notes: Sequence[str]


@dataclass(frozen=True)
class Cost:
    """What a row's runs cost on average: images that passed a network forward and backward, and seconds."""

    images: float
    seconds: float


@dataclass(frozen=True)
class RowView:
    """A row with all that is behind its cells.

    Attributes:
        row: its cells.
        runs: in the order of the configurations.
        options: every hyper-parameter, in words.
        by: which version of the tool and of the method.
        command: makes the row again.
        cost: None where no run is done.
    """

    row: TableRow
    runs: tuple[RunRecord, ...]
    options: str
    by: str
    command: str
    cost: Cost | None


@dataclass(frozen=True)
class TableSection:
    """A table with its rows, the command that makes it again, and what follows it."""

    table: Table
    rows: tuple[RowView, ...]
    command: str
    figures: tuple[Figure, ...]
    analyses: tuple[Words, ...]


@dataclass(frozen=True)
class Page:
    """All that a page shows.

    Attributes:
        title: of the page.
        made: by what and from which database.
        tables: those that have runs.
        figures: of the paper, features and curves.
        claims: of the paper against the record.
        lacking: what could not be shown, and the command that makes it, a sentence each.
    """

    title: str
    made: str
    tables: tuple[TableSection, ...]
    figures: tuple[Figure, ...]
    claims: Words
    lacking: tuple[str, ...]


def row_views(table: Table, placed: Sequence[tuple[Row, Selection]], store: Store) -> tuple[RowView, ...]:
    """Returns a table's rows with the runs behind them."""
    found = []
    for selection, rows in by_selection(placed):
        recorded = comparable_runs(selection.experiment.key, store)
        for row in rows:
            runs = runs_of_row(recorded, row, selection)
            found.append((row, selection, [runs[pair] for pair in selection.configurations if pair in runs]))
    return tuple(
        RowView(
            row=cells,
            runs=tuple(runs),
            options=_pairs(runs[0].options) if runs else "",
            by=_by(runs),
            command=_command(row, selection, cells.is_reference),
            cost=_cost(runs),
        )
        for cells, (row, selection, runs) in zip(table.rows, found, strict=True)
    )


def table_command(name: str, selection: Selection) -> str:
    """Returns the command that makes a table again."""
    return f"unlearn-bench reproduce --table {name} --profile {selection.profile}{given_words(selection)}"


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
    versions = sorted({f"{run.spec['version']} of unlearn-bench {run.environment.code_version}" for run in runs})
    return f"version {', '.join(versions)}" if versions else ""


def _cost(runs: Sequence[RunRecord]) -> Cost | None:
    models = [run.model for run in runs if run.status == "done" and run.model is not None]
    if not models:
        return None
    return Cost(
        images=statistics.fmean(model.forward_images + model.backward_images for model in models),
        seconds=statistics.fmean(model.method_seconds for model in models),
    )


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items()) or "none"
