"""The paper's checkable statements against the record: a verdict each, with the values that it rests on."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from simpleeval import InvalidExpression, SimpleEval

from unlearn_bench.core.errors import ConfigError
from unlearn_bench.report.curves import Curves, Line
from unlearn_bench.report.tables import RETRAINED, Table, TableRow, mean_gap

Verdict = Literal["held", "not held", "on a stand-in: holds", "on a stand-in: does not hold", "not measured"]


class NotMeasuredError(Exception):
    """A claim needs a value that the table does not have."""


@dataclass(frozen=True)
class Reading:
    """What a function of a test read; two readings are equal where they read the same of the same runs.

    Attributes:
        function: its name.
        runs: the keys of the runs, row by row.
        metrics: of which metrics.
        values: what it found.
        shown: the same for people, with the row's name.
    """

    function: str
    runs: tuple[tuple[str, ...], ...]
    metrics: tuple[str, ...]
    values: tuple[float, ...]
    shown: str = field(compare=False)


@dataclass(frozen=True)
class Judged:
    """What became of a test: the verdict and what was read for it, or why there is none."""

    verdict: Verdict
    readings: tuple[Reading, ...] = ()
    reason: str = ""

    @property
    def figures(self) -> str:
        """The values that were read, each once, or the reason, for people."""
        return self.reason or "; ".join(dict.fromkeys(reading.shown for reading in self.readings))


def judge(test: str, reader: Reader, *, on_stand_in: bool = False) -> Judged:
    """Returns what a table or a figure of curves says of a claim.

    Args:
        test: an expression of comparisons, arithmetic, ``and``, ``or``, ``not``, and the functions of the reader.
        reader: of what is measured.
        on_stand_in: whether that is another data set than the claim is about.

    Raises:
        ConfigError: the test is none of that.
    """
    reader.read.clear()  # what an earlier claim read
    try:
        holds = _holds(test, reader.functions)
    except NotMeasuredError as lacking:
        return Judged("not measured", reason=str(lacking))
    except ZeroDivisionError:
        return Judged("not measured", reason=f"the test '{test}' divides by 0 here")
    except (SyntaxError, TypeError, KeyError, InvalidExpression) as problem:
        raise ConfigError(f"benchmarks.yaml: claims: the test '{test}' cannot be read: {problem}.") from None
    verdicts: dict[bool, Verdict] = {True: "held", False: "not held"}
    if on_stand_in:
        verdicts = {True: "on a stand-in: holds", False: "on a stand-in: does not hold"}
    return Judged(verdicts[holds], tuple(reader.read))


def _holds(test: str, functions: Mapping[str, Callable[..., Any]]) -> bool:
    """Returns whether every comparison of a test holds; all of them are evaluated, so that all figures are shown."""
    body = ast.parse(test, mode="eval").body
    parts = body.values if isinstance(body, ast.BoolOp) and isinstance(body.op, ast.And) else [body]
    evaluator = SimpleEval(functions=dict(functions), names={})
    verdicts = [bool(evaluator.eval(test, previously_parsed=part)) for part in parts]
    return all(verdicts)


class Reader:
    """Reads what a test asks of a record, by functions of a row, and remembers what it read."""

    def __init__(self) -> None:
        self.read: list[Reading] = []
        self.functions: dict[str, Callable[..., Any]] = {}


class CurveReader(Reader):
    """Reads a figure of curves.

    A row is a label, or a method that one row has: ``swing(row, metric)`` is the largest difference within the second
    half of its steps, of the mean over configurations; ``end(row, metric)`` that mean at the last step;
    ``diverged(row)`` how many of its configurations diverged.
    """

    def __init__(self, name: str, curves: Curves) -> None:
        super().__init__()
        self.name, self.curves = name, curves
        self.functions = {"swing": self.swing, "end": self.end, "diverged": self.diverged}

    def swing(self, row: str, metric: str) -> float:
        line = self._line(row, metric, with_steps=True)
        return self._noted("swing", line, metric, line.swing, f"{row} {metric} swing")

    def end(self, row: str, metric: str) -> float:
        line = self._line(row, metric, with_steps=True)
        return self._noted("end", line, metric, line.mean[-1][1], f"{row} {metric} end")

    def diverged(self, row: str) -> float:
        line = self._line(row, self.curves.lines[0].metric)
        return self._noted("diverged", line, "", sum(trace.diverged for trace in line.traces), f"{row} diverged")

    def _noted(self, function: str, line: Line, metric: str, value: float, what: str) -> float:
        self.read.append(Reading(function, (line.runs,), (metric,), (value,), f"{what} {value:.4g}"))
        return value

    def _line(self, name: str, metric: str, *, with_steps: bool = False) -> Line:
        lines = [line for line in self.curves.lines if line.metric == metric and name in (line.label, line.method)]
        if len(lines) != 1:
            raise TypeError(f"figure {self.name} has {len(lines)} curves of {metric} of '{name}'")
        if not (lines[0].mean if with_steps else lines[0].traces):
            raise NotMeasuredError(f"figure {self.name} has no steps of {name}")
        return lines[0]


class TableReader(Reader):
    """Reads a table as far as it is measured.

    A row is a label, or a method that one row has: ``value(row, metric)``, ``gap(row, metric)`` to retrained,
    ``mean_gap(row)`` over the table's metrics (percent as shares); ``smallest_mean_gap()`` is the method of it.
    """

    def __init__(self, table: Table) -> None:
        super().__init__()
        self.table = table
        self.functions = {
            "value": self.value,
            "gap": self.gap,
            "mean_gap": self.mean_gap,
            "smallest_mean_gap": self.smallest_mean_gap,
        }

    def value(self, row: str, metric: str) -> float:
        return self._noted("value", row, (metric,), self._cell(row, metric, "mean"), f"{row} {metric}")

    def gap(self, row: str, metric: str) -> float:
        return self._noted("gap", row, (metric,), self._cell(row, metric, "gap"), f"{row} {metric} gap")

    def mean_gap(self, row: str) -> float:
        return self._noted("mean_gap", row, self._metrics, self._mean_gap(self._row(row)), f"{row} mean gap")

    def smallest_mean_gap(self) -> str:
        rows = [row for row in self.table.rows if not row.is_reference]
        gaps = {row.method: self._mean_gap(row) for row in rows}
        ranked: Sequence[str] = sorted(gaps, key=lambda name: gaps[name])
        shown = "mean gaps " + ", ".join(f"{name} {gaps[name]:.3f}" for name in ranked[:3])
        runs = tuple(row.runs for row in rows)
        self.read.append(Reading("smallest_mean_gap", runs, self._metrics, tuple(gaps.values()), shown))
        return ranked[0]

    @property
    def _metrics(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.table.columns)

    def _noted(self, function: str, row: str, metrics: tuple[str, ...], value: float, what: str) -> float:
        runs = (self._row(row).runs,)
        self.read.append(Reading(function, runs, metrics, (value,), f"{what} {value:.4g}"))
        return value

    def _mean_gap(self, row: TableRow) -> float:
        for column in self.table.columns:
            self._cell(row.label, column.name, "gap")  # says which run is lacking
        return mean_gap(self.table, row) or 0.0

    def _row(self, name: str) -> TableRow:
        found = [row for row in self.table.rows if row.label == name]
        found = found or [row for row in self.table.rows if row.method == name]
        if len(found) != 1:
            raise TypeError(f"table {self.table.name} has {len(found)} rows '{name}'")
        return found[0]

    def _cell(self, name: str, metric: str, part: Literal["mean", "gap"]) -> float:
        row = self._row(name)
        if metric not in self._metrics:
            raise TypeError(f"table {self.table.name} has no metric '{metric}'")
        cell = row.cells[self._metrics.index(metric)]
        value = 0.0 if part == "gap" and row.method == RETRAINED else getattr(cell, part)
        if value is None or cell.n < row.expected:
            raise NotMeasuredError(f"{metric} of {name} in table {self.table.name}: {cell.n} of {row.expected} runs")
        return float(value)
