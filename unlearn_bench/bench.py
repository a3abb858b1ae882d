"""What commands do, without printing: choose configurations, make the runs that are missing, read tables.

Torch is imported inside the functions that train, so that reports start without it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from unlearn_bench.config import Benchmarks, FigureEntry, Measured, Row, TableEntry
from unlearn_bench.report.tables import Table, build_table, by_selection
from unlearn_bench.selection import PlacedRow, Selection, place, select
from unlearn_bench.spec import canonical_forget
from unlearn_bench.store import Store
from unlearn_bench.store.records import RunRecord, Status
from unlearn_bench.tuned import Tuned


@dataclass(frozen=True)
class Machinery:
    """Where and how runs are made.

    Attributes:
        data: folder of data sets; None for the default.
        download: whether a missing data set may be fetched.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``.
        workers: runs at a time; None for one a core on a CPU, else 1.
        progress: told of every step: (task, done, total).
        say: told of every run that ended, a line each.
    """

    data: Path | None
    download: bool
    device: str
    workers: int | None
    progress: Callable[[str, int, int], None]
    say: Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What carrying out some rows came to: runs in all, the statuses of those made now, and how many are not done."""

    runs: tuple[str, ...]
    made: tuple[Status, ...]
    failures: int


@dataclass(frozen=True)
class Bench:
    """Some configurations, the file that describes them and the database that records them.

    Attributes:
        benchmarks: the file.
        selection: the configurations of commands that are about no table.
        store: the database.
        choice: what the user chose, from which a table's rows get their configurations.
        tuned: options that take the place of the profile's.
    """

    benchmarks: Benchmarks
    selection: Selection
    store: Store
    choice: Mapping[str, Any] = field(default_factory=dict)
    tuned: Mapping[str, Tuned] = field(default_factory=dict)

    @classmethod
    def choose(
        cls, benchmarks: Benchmarks, store: Store, *, tuned: Mapping[str, Tuned] | None = None, **choice: Any
    ) -> Bench:
        """Returns the bench of a choice, see :func:`unlearn_bench.selection.select`.

        Args:
            benchmarks: the file.
            store: the database.
            tuned: options in place of the profile's, which every table will say.
            choice: as the user made it.
        """
        bench = cls(benchmarks, select(benchmarks, **choice), store, choice, tuned or {})
        return replace(bench, selection=bench._with_tuned(bench.selection))

    def placed(self, entry: Measured, *, plugins: bool = True) -> list[tuple[PlacedRow, Selection]]:
        """Returns the rows of a table or figure, each with its configurations as they are recorded.

        With ``plugins``, a table that is open to plug-in methods has a row for each that is recorded.
        """
        placed = self._asked(entry)
        if isinstance(entry, TableEntry) and entry.plugins and plugins:
            selection = self._selection_of(entry, None)
            listed = {row.method for row in entry.full_rows}
            recorded = self.store.plugins(selection.experiment.key)
            placed += [(PlacedRow(method=method), selection) for method in recorded if method not in listed]
        groups = [(self.as_recorded(selection), rows) for selection, rows in by_selection(placed)]
        return [(row, selection) for selection, rows in groups for row in rows]

    def reproduce(self, entries: Sequence[Measured], machinery: Machinery) -> Outcome:
        """Makes and records the runs of these tables and figures that are missing, with ``retrained`` for the gaps.

        Raises:
            UserError: see :meth:`carry_out`; or a metric that does not exist.
        """
        from unlearn_bench.methods import methods
        from unlearn_bench.metrics import metrics

        groups: list[tuple[Selection, list[Row]]] = []
        drawn = False
        for entry in entries:
            for metric in entry.metrics:
                metrics.get(metric)
            placed = self._asked(entry)
            drawn |= isinstance(entry, FigureEntry) and entry.kind == "features"
            if isinstance(entry, TableEntry) and entry.plugins:
                plugins = [PlacedRow(method=method.name) for method in methods if method.origin]
                placed += [(row, self._selection_of(entry, None)) for row in plugins]
            for row, selection in placed:
                rows = next((rows for known, rows in groups if known == selection), None)
                if rows is None:
                    groups.append((selection, rows := [Row(method="retrained")]))
                rows.append(row)
        outcomes = [
            replace(self, selection=selection).carry_out(rows, machinery, with_outputs=drawn)
            for selection, rows in groups
        ]
        return Outcome(
            runs=tuple(run for outcome in outcomes for run in outcome.runs),
            made=tuple(status for outcome in outcomes for status in outcome.made),
            failures=sum(outcome.failures for outcome in outcomes),
        )

    def _asked(self, entry: Measured) -> list[tuple[PlacedRow, Selection]]:
        rows = entry.rows_at(self._selection_of(entry, None).profile)
        return place(self.benchmarks, entry, [(row, self._selection_of(entry, row)) for row in rows])

    def _selection_of(self, table: Measured, row: Row | None) -> Selection:
        return self._with_tuned(select(self.benchmarks, **self.choice, table=table, row=row))

    def _with_tuned(self, selection: Selection) -> Selection:
        options = {**selection.options, **{name: dict(entry.options) for name, entry in self.tuned.items()}}
        remarks = tuple(f"Options of {name}: {entry.sentence}." for name, entry in self.tuned.items())
        return replace(selection, options=options, remarks=remarks)

    def with_method(
        self, method: str, preset: str | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Bench, Row]:
        """Returns the bench and the row of one method with the options of a preset, and the given ones over them.

        Options of a reference change the recipe, hence the experiment: every model of it is another one.

        Raises:
            UnknownNameError, OptionError: no such method, preset or option, or a value out of range.
        """
        from unlearn_bench.methods import methods
        from unlearn_bench.options import complete, identity
        from unlearn_bench.plan import with_preset

        entry = methods.get(method)
        given = with_preset(entry, preset, options or {})
        checked = complete(entry.function, given, f"method '{method}'")
        stated = {name: checked[name] for name in given}
        if not entry.from_scratch:
            return self, Row(method=method, options=stated)
        experiment = self.selection.experiment
        recipe = identity(entry.function, {**experiment.recipe, **stated})
        experiment = replace(experiment, recipe=recipe)
        return replace(self, selection=replace(self.selection, experiment=experiment)), Row(method=method)

    def carry_out(self, rows: Sequence[Row], machinery: Machinery, *, with_outputs: bool = False) -> Outcome:
        """Makes and records the runs of ``rows`` that are missing, references first.

        With ``with_outputs`` a run is missing too whose features and logits are no longer there.

        Raises:
            UserError: a name, option, forget set or data set that does not exist; nothing is recorded.
        """
        from unlearn_bench.data.loading import data_folder, load
        from unlearn_bench.environment import choose_device
        from unlearn_bench.executors.local import execute
        from unlearn_bench.plan import check, make_plan
        from unlearn_bench.store.health import tidy

        selection = self.selection
        check(selection, rows)
        device = choose_device(machinery.device)
        dataset = load(
            selection.source,
            folder=data_folder(self.benchmarks.home, machinery.data),
            train_per_class=selection.experiment.train_per_class,
            test_per_class=selection.experiment.test_per_class,
            download=machinery.download,
            progress=machinery.progress,
        )
        if selection.experiment.held_out:
            dataset = dataset.without_test()  # a trial has no business with it, whatever its method does
        plan = make_plan(selection, rows, dataset, self.store, with_outputs=with_outputs)
        tidy(self.store)
        self.store.ask([task.spec.key for task in plan.tasks])
        statuses: list[Status | None] = []

        def finished(title: str, status: Status | None, error: str | None) -> None:
            statuses.append(status)
            reason = f" ({error})" if error else ""
            machinery.progress("all runs", len(statuses), len(plan.missing))
            how = status or "recorded meanwhile"
            machinery.say(f"[{len(statuses)}/{len(plan.missing)}] {title}: {how}{reason}")

        if plan.missing:
            machinery.progress("all runs", 0, len(plan.missing))
            execute(
                plan.missing,
                store=self.store,
                dataset=dataset,
                device=device,
                workers=machinery.workers or (_cores() if device.type == "cpu" else 1),
                missing=partial(plan.still_missing, store=self.store),
                progress=machinery.progress,
                say=machinery.say,
                finished=finished,
            )
        runs = tuple(task.spec.key for task in plan.tasks)
        ended = self.store.finished(runs)
        done = sum(key in ended and ended[key][0] == "done" for key in runs)
        made = tuple(status for status in statuses if status is not None)
        return Outcome(runs, made, len(runs) - done)

    def table(self, name: str, *, without_reference: bool = False) -> Table:
        """Returns a table of what the database holds, see :func:`unlearn_bench.report.tables.build_table`.

        Raises:
            UnknownNameError: no such table.
            MissingRunError: a configuration has no retrained run.
        """
        entry = self.benchmarks.table(name)
        return build_table(name, entry, self.placed(entry), self.store, without_reference=without_reference)

    def recorded(self, keys: Sequence[str]) -> list[RunRecord]:
        """Returns the runs of these keys, in the order of the keys."""
        found = {run.key: run for run in self.store.runs(experiment_key=self.selection.experiment.key)}
        return [found[key] for key in keys if key in found]

    def as_recorded(self, selection: Selection) -> Selection:
        """Returns a selection with each forget set once, as runs are recorded; as it is where nothing is recorded yet.

        Raises:
            DataError: a class that the recorded data set does not have.
        """
        experiment = selection.experiment
        classes, fine_classes = self.store.class_names(experiment.key)
        if not classes:
            return selection
        spelled = (
            canonical_forget(words, experiment.setting, classes, fine_classes, experiment.dataset)
            for words in selection.forget
        )
        return replace(selection, forget=tuple(dict.fromkeys(spelled)))


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # what this process may use, which a container may narrow
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
