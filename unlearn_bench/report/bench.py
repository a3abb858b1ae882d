"""The input of reports: benchmarks.yaml, the selected configurations and the database with their runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from unlearn_bench.config.benchmarks import Benchmarks, Measured, Row, TableEntry
from unlearn_bench.config.selection import (
    NOTHING_CHOSEN,
    Choice,
    PlacedRow,
    Selection,
    place_rows,
    select,
    with_datasets,
)
from unlearn_bench.config.tuned import Tuned
from unlearn_bench.core.forget_words import canonical_forget
from unlearn_bench.report.tables import Table, build_table, by_selection
from unlearn_bench.store import Store
from unlearn_bench.store.records import RunRecord


@dataclass(frozen=True)
class Bench:
    """The content of benchmarks.yaml, the selected configurations and the database with their runs.

    Attributes:
        benchmarks: the content of benchmarks.yaml.
        selection: the configurations of a command without a table.
        store: the database.
        choice: what the user chose; it determines the configurations of the rows of a table.
        tuned: by method, options that replace the profile's.
    """

    benchmarks: Benchmarks
    selection: Selection
    store: Store
    choice: Choice = NOTHING_CHOSEN
    tuned: Mapping[str, Tuned] = field(default_factory=dict)

    @classmethod
    def choose(
        cls,
        benchmarks: Benchmarks,
        store: Store,
        choice: Choice = NOTHING_CHOSEN,
        *,
        tuned: Mapping[str, Tuned] | None = None,
    ) -> Bench:
        """Returns the bench for a choice, see :func:`unlearn_bench.config.selection.select`.

        A recorded data set that benchmarks.yaml does not name is known too, because a plug-in may be gone.

        Args:
            benchmarks: the content of benchmarks.yaml.
            store: the database.
            choice: what the user chose.
            tuned: by method, options that replace the profile's; a note under every table states them.
        """
        benchmarks = with_datasets(benchmarks, store.dataset_names())
        bench = cls(benchmarks, select(benchmarks, choice), store, choice, tuned or {})
        return replace(bench, selection=bench._with_tuned(bench.selection))

    def placed(self, entry: Measured, *, plugins: bool = True) -> list[tuple[PlacedRow, Selection]]:
        """Returns the rows of a table or figure, each with its configurations in their recorded spelling.

        With ``plugins``, a table with the key ``plugins: true`` also has a row for every recorded plug-in method.
        """
        placed = self.requested_rows(entry)
        if isinstance(entry, TableEntry) and entry.plugins and plugins:
            selection = self.selection_of(entry)
            listed = {row.method for row in entry.full_rows}
            recorded = self.store.plugins(selection.experiment.key)
            placed += [(PlacedRow(method=method), selection) for method in recorded if method not in listed]
        groups = [(self.as_recorded(selection), rows) for selection, rows in by_selection(placed)]
        return [(row, selection) for selection, rows in groups for row in rows]

    def placed_tables(self, names: Sequence[str]) -> list[tuple[str, TableEntry, list[tuple[PlacedRow, Selection]]]]:
        """Returns name, entry and placed rows of tables, each table once.

        Raises:
            UnknownNameError: benchmarks.yaml has no such table.
        """
        entries = [(name, self.benchmarks.table(name)) for name in dict.fromkeys(names)]
        return [(name, entry, self.placed(entry)) for name, entry in entries]

    def requested_rows(self, entry: Measured) -> list[tuple[PlacedRow, Selection]]:
        """Returns the rows of a table or figure, each with its configurations in the user's spelling."""
        rows = entry.rows_at(self.selection_of(entry).profile)
        return place_rows(self.benchmarks, entry, [(row, self.selection_of(entry, row)) for row in rows])

    def selection_of(self, table: Measured, row: Row | None = None) -> Selection:
        """Returns the configurations of a table or figure, or of one of its rows."""
        return self._with_tuned(select(self.benchmarks, self.choice, table=table, row=row))

    def _with_tuned(self, selection: Selection) -> Selection:
        options = {**selection.options, **{name: dict(entry.options) for name, entry in self.tuned.items()}}
        remarks = {name: f"Options of {name}: {entry.sentence}." for name, entry in self.tuned.items()}
        return replace(selection, options=options, remarks=remarks)

    def with_columns(self, tables: Sequence[str], metrics: Sequence[str]) -> Bench:
        """Returns the bench with columns for these metrics, behind those that the tables have.

        Raises:
            UnknownNameError: no such table.
        """
        more = dict(self.benchmarks.tables)
        for name in tables:
            entry = self.benchmarks.table(name)
            more[name] = entry.model_copy(update={"metrics": list(dict.fromkeys([*entry.metrics, *metrics]))})
        return replace(self, benchmarks=self.benchmarks.model_copy(update={"tables": more}))

    def table(self, name: str, *, without_reference: bool = False) -> Table:
        """Returns a table of the recorded runs, see :func:`unlearn_bench.report.tables.build_table`.

        Raises:
            UnknownNameError: no such table.
            MissingRunError: a configuration has no retrained run.
        """
        entry = self.benchmarks.table(name)
        return build_table(name, entry, self.placed(entry), self.store, without_reference=without_reference)

    def recorded(self, keys: Sequence[str]) -> list[RunRecord]:
        """Returns the runs with these keys, in the order of the keys."""
        by_key = {run.key: run for run in self.store.runs(experiment_key=self.selection.experiment.key)}
        return [by_key[key] for key in keys if key in by_key]

    def as_recorded(self, selection: Selection) -> Selection:
        """Returns a selection with distinct forget sets in recorded spelling; unchanged if nothing is recorded.

        Raises:
            DataError: a class that the recorded data set does not have.
        """
        experiment = selection.experiment
        classes, fine_classes = self.store.class_names(experiment.key)
        if not classes:
            return selection
        canonical = (
            canonical_forget(words, experiment.scenario, classes, fine_classes, experiment.dataset)
            for words in selection.forget
        )
        return replace(selection, forget=tuple(dict.fromkeys(canonical)))
