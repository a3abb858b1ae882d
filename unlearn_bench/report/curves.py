"""Curves of metrics along the steps of methods, from traced runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from unlearn_bench.config import Measured, Row
from unlearn_bench.errors import MissingRunError
from unlearn_bench.report.notes import given_words, remarks_on
from unlearn_bench.report.tables import by_selection, comparable_runs, label_of, runs_of_row
from unlearn_bench.selection import Selection
from unlearn_bench.store import Store


@dataclass(frozen=True)
class Trace:
    """A metric along the steps of one run: (step, value) in order, and whether the method diverged after the last."""

    points: tuple[tuple[int, float], ...]
    diverged: bool


@dataclass(frozen=True)
class Line:
    """A metric along the steps of a method.

    Attributes:
        method, label: of the row.
        metric: its name.
        traces: one for each configuration; none of a reference.
        level: of a reference, which has no steps, the mean over configurations; None otherwise.
        runs: the keys of the runs.
    """

    method: str
    label: str
    metric: str
    traces: tuple[Trace, ...]
    level: float | None = None
    runs: tuple[str, ...] = ()

    @property
    def mean(self) -> list[tuple[int, float]]:
        """(step, mean over configurations) of every step that all of them have that made any."""
        values: dict[int, list[float]] = {}
        traces = [trace for trace in self.traces if trace.points]
        for trace in traces:
            for step, value in trace.points:
                values.setdefault(step, []).append(value)
        shared = [(step, found) for step, found in sorted(values.items()) if len(found) == len(traces)]
        return [(step, statistics.fmean(found)) for step, found in shared]

    @property
    def swing(self) -> float:
        """Largest difference between two means of the second half of the steps."""
        mean = self.mean
        late = [value for step, value in mean if step >= mean[-1][0] / 2]
        return max(late) - min(late)


@dataclass(frozen=True)
class Curves:
    """The lines of a figure, and what is to be said of them, a sentence each."""

    lines: tuple[Line, ...]
    notes: tuple[str, ...]


def curves_of(name: str, entry: Measured, placed: Sequence[tuple[Row, Selection]], store: Store) -> Curves:
    """Returns the curves that the database holds for a figure.

    Raises:
        MissingRunError: a row lacks a configuration.
    """
    methods = store.methods()
    lines: list[Line] = []
    notes: dict[str, None] = {}
    seconds = traced = 0.0
    for selection, rows in by_selection(placed):
        recorded = comparable_runs(selection.experiment.key, store)
        for row in rows:
            runs = {pair: run for pair, run in runs_of_row(recorded, row, selection).items() if run.status != "failed"}
            if len(runs) < len(selection.configurations):
                command = f"reproduce --figure {name} --profile {selection.profile}{given_words(selection)}"
                raise MissingRunError(
                    f"Figure {name} has {len(runs)} of {len(selection.configurations)} runs of {row.method}. Make them "
                    f"with: unlearn-bench {command}"
                )
            points = store.curves([run.key for run in runs.values()], entry.metrics)
            label, is_reference = label_of(row, methods), methods[row.method].is_reference
            for metric in entry.metrics:
                traces = tuple(
                    Trace(
                        tuple((step, value) for step, named, value in points.get(run.key, ()) if named == metric),
                        run.status == "diverged",
                    )
                    for run in runs.values()
                )
                values = [run.values[metric] for run in runs.values() if metric in run.values]
                level = statistics.fmean(values) if is_reference and values else None
                keys = tuple(run.key for run in runs.values())
                lines.append(Line(row.method, label, metric, () if is_reference else traces, level, keys))
            if not is_reference:
                stated = ", ".join(f"{option} {value}" for option, value in selection.overrides(row).items())
                notes[f"{label}: {stated or 'options as the method has them'}."] = None
                notes.update(dict.fromkeys(remarks_on(selection, [row.method])))
                for (forget, seed), run in runs.items():
                    if run.status == "diverged":
                        notes[f"{label}, forget {forget}, seed {seed}: diverged, {run.error}."] = None
                seconds += sum(run.model.method_seconds for run in runs.values() if run.model)
                traced += sum(run.model.trace_seconds for run in runs.values() if run.model)
        experiment = selection.experiment
        notes[
            f"{experiment.dataset}, {experiment.setting}, forget sets {', '.join(selection.forget)}, "
            f"profile {selection.profile}."
        ] = None
    notes[
        f"Measured every {experiment.trace_every} steps, in {traced:.0f} s beside {seconds:.0f} s of the methods."
    ] = None
    return Curves(tuple(lines), tuple(notes))
