"""Curves of metrics over the steps of methods, from traced runs."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unlearn_bench.config.benchmarks import Measured, Row
from unlearn_bench.config.selection import Selection
from unlearn_bench.core.errors import MissingRunError
from unlearn_bench.report.notes import remarks_on, user_options
from unlearn_bench.report.tables import by_selection, comparable_runs, label_of, runs_of_row
from unlearn_bench.store import Store
from unlearn_bench.store.records import RunRecord


@dataclass(frozen=True)
class Trace:
    """A metric over the steps of one run: ordered (step, value) points, and whether the method diverged after them."""

    points: tuple[tuple[int, float], ...]
    diverged: bool


@dataclass(frozen=True)
class Line:
    """A metric over the steps of a method.

    Attributes:
        method, label: method and label of the row.
        metric: name of the metric.
        traces: one trace per configuration; empty for a reference.
        level: for a reference, which has no steps, the mean over configurations; else None.
        runs: keys of the runs.
    """

    method: str
    label: str
    metric: str
    traces: tuple[Trace, ...]
    level: float | None = None
    runs: tuple[str, ...] = ()

    @property
    def mean(self) -> list[tuple[int, float]]:
        """(step, mean over configurations) of the steps that all traces have; traces without points do not count."""
        values: dict[int, list[float]] = {}
        traces = [trace for trace in self.traces if trace.points]
        for trace in traces:
            for step, value in trace.points:
                values.setdefault(step, []).append(value)
        shared = [(step, at_step) for step, at_step in sorted(values.items()) if len(at_step) == len(traces)]
        return [(step, statistics.fmean(at_step)) for step, at_step in shared]

    @property
    def swing(self) -> float:
        """Largest difference between two means in the second half of the steps."""
        mean = self.mean
        late = [value for step, value in mean if step >= mean[-1][0] / 2]
        return max(late) - min(late)


@dataclass(frozen=True)
class Curves:
    """The lines of a figure, and its notes, one sentence each."""

    lines: tuple[Line, ...]
    notes: tuple[str, ...]


def curves_of(name: str, entry: Measured, placed: Sequence[tuple[Row, Selection]], store: Store) -> Curves:
    """Returns the curves of a figure from the recorded runs.

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
                command = f"reproduce --figure {name} --profile {selection.profile}{user_options(selection)}"
                raise MissingRunError(
                    f"Figure {name} has only {len(runs)} of {len(selection.configurations)} runs of {row.method}. Make "
                    f"the others with: unlearn-bench {command}"
                )
            points = store.curves([run.key for run in runs.values()], entry.metrics)
            label, is_reference = label_of(row, methods), methods[row.method].is_reference
            own = list(runs.values())
            for metric in entry.metrics:
                traces = () if is_reference else _traces(own, points, metric)
                values = [run.values[metric] for run in own if metric in run.values]
                level = statistics.fmean(values) if is_reference and values else None
                lines.append(Line(row.method, label, metric, traces, level, tuple(run.key for run in own)))
            if not is_reference:
                stated = ", ".join(f"{option} {value}" for option, value in selection.overrides(row).items())
                notes[f"{label}: {stated or 'default options'}."] = None
                notes.update(dict.fromkeys(remarks_on(selection, [row.method])))
                for (forget, seed), run in runs.items():
                    if run.status == "diverged":
                        notes[f"{label}, forget {forget}, seed {seed}: diverged, {run.error}."] = None
                seconds += sum(run.model.method_seconds for run in runs.values() if run.model)
                traced += sum(run.model.trace_seconds for run in runs.values() if run.model)
        experiment = selection.experiment
        notes[
            f"{experiment.dataset}, {experiment.scenario}, forget sets {', '.join(selection.forget)}, "
            f"profile {selection.profile}."
        ] = None
    notes[
        f"Measured every {experiment.trace_every} steps; measuring took {traced:.0f} s, the methods {seconds:.0f} s."
    ] = None
    return Curves(tuple(lines), tuple(notes))


def _traces(
    runs: Sequence[RunRecord], points: Mapping[str, Sequence[tuple[int, str, float]]], metric: str
) -> tuple[Trace, ...]:
    return tuple(
        Trace(
            tuple((step, value) for step, named, value in points.get(run.key, ()) if named == metric),
            run.status == "diverged",
        )
        for run in runs
    )
