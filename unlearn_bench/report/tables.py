"""Builds a table of cells from records. Cells have full precision; the renderer rounds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from unlearn_bench.config.benchmarks import Row, TableEntry
from unlearn_bench.config.selection import PaperRow, Placed, PlacedRow, Selection, title_of
from unlearn_bench.core.errors import MissingRunError
from unlearn_bench.report.chance import ATTACK, NOTE, can_compare
from unlearn_bench.report.notes import (
    Configuration,
    missing_reference,
    origins,
    own_inputs,
    provenance,
    shortfalls,
    stand_ins,
    twins,
)
from unlearn_bench.report.ties import differences_of, marks_of
from unlearn_bench.store import Store
from unlearn_bench.store.records import MethodRecord, MetricRecord, RunRecord

RETRAINED = "retrained"
AnyRow = TypeVar("AnyRow", bound=Row)


@dataclass(frozen=True)
class Cell:
    """A method's result for one metric.

    Attributes:
        mean: mean over the done configurations; None if there is none.
        std: their sample standard deviation; None for fewer than two.
        n: number of done configurations.
        gap: |mean − mean of the retrained model over the same configurations|; None for the retrained model itself.
        best: whether the gap is the smallest of the approximate methods with all configurations done, and at least one
            other gap is significantly larger, see :func:`unlearn_bench.report.ties.marks_of`.
        tied: whether the gap is not the smallest, and not significantly larger.
        published: the value that the paper prints on the measured data set; None if it prints none.
        is_guess: whether the value is an MIA whose attack is no better than guessing. Such values are not compared.
    """

    mean: float | None
    std: float | None
    n: int
    gap: float | None
    best: bool = False
    published: float | None = None
    tied: bool = False
    is_guess: bool = False


@dataclass(frozen=True)
class TableRow:
    """A method's row. A reference (original, retrained) gets no marks and, as in the paper, shows no gap.

    Attributes:
        method, label, train_set: name and label of the method, and the images that it uses.
        cells: one cell per column.
        expected: number of configurations that each cell should have.
        dataset: label of the measured data set.
        runs: keys of the runs of the row, done or not.
        elsewhere: rows of the paper on data sets that the measured one replaces.
    """

    method: str
    label: str
    train_set: str
    is_reference: bool
    cells: tuple[Cell, ...]
    expected: int
    dataset: str = ""
    runs: tuple[str, ...] = ()
    elsewhere: tuple[PaperRow, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table with its provenance, ready for any renderer.

    Attributes:
        name: name in benchmarks.yaml.
        title: title in benchmarks.yaml, followed by data sets and profile.
        columns: the metrics.
        rows: the rows in the order of benchmarks.yaml, without duplicates.
        notes: data, software, hardware and missing runs, one sentence each.
        published_note: note on the paper's values.
    """

    name: str
    title: str
    columns: tuple[MetricRecord, ...]
    rows: tuple[TableRow, ...]
    notes: tuple[str, ...]
    published_note: str = ""


def build_table(
    name: str,
    entry: TableEntry,
    placed: Placed,
    store: Store,
    *,
    without_reference: bool = False,
) -> Table:
    """Returns a table of the recorded runs.

    Args:
        name: name of the table in benchmarks.yaml.
        entry: the table in benchmarks.yaml, with title and metrics.
        placed: its rows, each with its configurations.
        store: the database.
        without_reference: whether to leave rows without a retrained run empty instead of raising an error.

    Raises:
        MissingRunError: a configuration has no retrained run with all metrics, so no gap can be computed.
    """
    method_records, metric_records = store.methods(), store.metrics()
    columns = tuple(
        metric_records.get(metric, MetricRecord(metric, metric, "", "near retrained", "")) for metric in entry.metrics
    )
    rows: list[TableRow] = []
    used: list[RunRecord] = []
    notes: dict[str, None] = {}  # an ordered set
    lacks: list[str] = []
    for selection, own in by_selection(placed):
        recorded = comparable_runs(selection.experiment.key, store)
        by_row = [runs_of_row(recorded, row, selection) for row in own]
        reference = runs_of_row(recorded, Row(method=RETRAINED), selection)
        lacking = [pair for pair in selection.configurations if not _measures(reference.get(pair), entry.metrics)]
        if lacking and not without_reference:
            raise MissingRunError(missing_reference(selection, lacking))
        if lacking:
            by_row, reference = [{} for _ in own], {}
        own_rows = [
            _table_row(row, runs, reference, columns, method_records, selection)
            for row, runs in zip(own, by_row, strict=True)
        ]
        rows += _mark(own_rows, by_row, reference, entry.metrics)
        own_runs = [run for runs in (*by_row, reference) for run in runs.values()]
        if own_runs:
            notes.update(dict.fromkeys([*provenance(selection, own_runs), *selection.remarks.values()]))
        lacks += shortfalls(name, own, by_row, selection)
        used += own_runs
    datasets = dict.fromkeys(selection.experiment.dataset for _, selection in placed)
    guesses = [NOTE] if any(cell.is_guess for row in rows for cell in row.cells) else []
    remarks = [*guesses, *origins(used, method_records), *own_inputs(used, method_records), *twins(used, store)]
    return Table(
        name=name,
        title=f"{title_of(entry, placed)}: {', '.join(datasets)}, profile {placed[0][1].profile}",
        columns=columns,
        rows=tuple(rows),
        notes=(*notes, *stand_ins(placed), *remarks, *lacks),
        published_note=entry.note,
    )


def by_selection(placed: Sequence[tuple[AnyRow, Selection]]) -> list[tuple[Selection, list[AnyRow]]]:
    """Groups consecutive rows with the same configurations, in order."""
    groups: list[tuple[Selection, list[AnyRow]]] = []
    for row, selection in placed:
        if not groups or groups[-1][0] != selection:
            groups.append((selection, []))
        groups[-1][1].append(row)
    return groups


def comparable_runs(experiment_key: str, store: Store) -> list[RunRecord]:
    """Returns an experiment's runs with the images, model and scenario of the last requested run, which comes first.

    Runs of another revision of the model or the scenario are left out, so that no table mixes two revisions.
    """
    recorded = sorted(
        store.runs(experiment_key=experiment_key), key=lambda run: (run.requested_at, run.id), reverse=True
    )
    return [
        run
        for run in recorded
        if (run.dataset_digest, run.revisions) == (recorded[0].dataset_digest, recorded[0].revisions)
    ]


def runs_of_row(recorded: Sequence[RunRecord], row: Row, selection: Selection) -> dict[Configuration, RunRecord]:
    """Returns the run of each configuration of a row.

    A run belongs to a row if it has the options of the row, and the method's defaults for all others. If runs with
    several defaults or versions match, the last requested run decides, and only runs with equal options and version
    are used.
    """
    stated = selection.overrides(row)
    matching = [
        run
        for run in recorded
        if run.method == row.method
        and (run.forget, run.seed) in selection.configurations
        and set(run.changed_options) <= set(stated)
        and all(run.options.get(name) == value for name, value in stated.items())
    ]
    chosen: dict[Configuration, RunRecord] = {}
    for run in matching:  # last requested first
        if (run.options, run.spec["version"]) == (matching[0].options, matching[0].spec["version"]):
            chosen.setdefault((run.forget, run.seed), run)
    return chosen


def label_of(row: Row, methods: Mapping[str, MethodRecord]) -> str:
    """Returns the label of a row, else the label of its method, else the name of a method without runs."""
    return row.label or (methods[row.method].label if row.method in methods else row.method)


def mean_gap(table: Table, row: TableRow) -> float | None:
    """Returns the mean of a row's gaps over all metrics, with percentages as shares; None if a run is missing."""
    shares = []
    for column, cell in zip(table.columns, row.cells, strict=True):
        gap = 0.0 if row.method == RETRAINED else cell.gap
        if gap is None or cell.n < row.expected:
            return None
        shares.append(gap / (100 if column.unit == "%" else 1))
    return statistics.fmean(shares)


def _table_row(
    row: PlacedRow,
    runs: dict[Configuration, RunRecord],
    reference: dict[Configuration, RunRecord],
    columns: Sequence[MetricRecord],
    methods: Mapping[str, MethodRecord],
    selection: Selection,
) -> TableRow:
    method = methods.get(row.method)
    cells = []
    for column in columns:
        done = {pair: run.values[column.name] for pair, run in runs.items() if column.name in run.values}
        target = [reference[pair].values[column.name] for pair in done]
        mean = statistics.fmean(done.values()) if done else None
        cells.append(
            Cell(
                mean=mean,
                std=statistics.stdev(done.values()) if len(done) > 1 else None,
                n=len(done),
                gap=abs(mean - statistics.fmean(target)) if mean is not None and row.method != RETRAINED else None,
                published=row.published.get(column.name),
            )
        )
    return TableRow(
        method=row.method,
        label=label_of(row, methods),
        train_set=method.train_set if method else "",
        is_reference=method.is_reference if method else False,
        cells=tuple(cells),
        expected=len(selection.configurations),
        dataset=selection.dataset_label,
        runs=tuple(run.key for run in runs.values()),
        elsewhere=row.elsewhere,
    )


def _mark(
    rows: Sequence[TableRow],
    by_row: Sequence[dict[Configuration, RunRecord]],
    reference: dict[Configuration, RunRecord],
    metrics: Sequence[str],
) -> list[TableRow]:
    """Returns the rows with marks: the smallest gap of each column, and gaps that are not significantly larger."""
    marked = [list(row.cells) for row in rows]
    target, *by_values = ({pair: run.values for pair, run in runs.items()} for runs in (reference, *by_row))
    for column, metric in enumerate(metrics):
        readable = [can_compare(metric, runs.values()) for runs in by_row]
        competing = {
            k: differences_of(by_values[k], target, metric)
            for k, row in enumerate(rows)
            if not row.is_reference
            and row.cells[column].gap is not None
            and row.cells[column].n == row.expected
            and readable[k]
            and can_compare(metric, reference.values())
        }
        for k, cells in enumerate(marked):
            cells[column] = replace(cells[column], is_guess=metric == ATTACK and not readable[k])
        for k, mark in marks_of(competing).items():
            marked[k][column] = replace(marked[k][column], best=mark == "smallest", tied=mark == "tied")
    return [replace(row, cells=tuple(cells)) for row, cells in zip(rows, marked, strict=True)]


def _measures(run: RunRecord | None, metrics: Sequence[str]) -> bool:
    return run is not None and run.status == "done" and set(metrics) <= run.values.keys()
