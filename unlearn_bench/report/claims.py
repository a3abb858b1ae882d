"""The paper's checkable statements against the record: held, not held, not measured, each with its figures."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from unlearn_bench.errors import ConfigError
from unlearn_bench.report.curves import Curves, Line
from unlearn_bench.report.tables import RETRAINED, Table, TableRow, mean_gap

Verdict = Literal["held", "not held", "not measured"]

ARITHMETIC: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.USub: operator.neg,
    ast.Not: operator.not_,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


class NotMeasuredError(Exception):
    """A claim needs a value that the table does not have."""


@dataclass(frozen=True)
class Judged:
    """What became of a claim; ``figures`` are the values that its test read."""

    says: str
    verdict: Verdict
    figures: str


def judge(says: str, test: str, reader: Reader) -> Judged:
    """Returns what a table or a figure of curves says of a claim.

    Args:
        says: the claim in words.
        test: an expression of comparisons, arithmetic, ``and``, ``or``, ``not``, and the functions of the reader.
        reader: of what is measured.

    Raises:
        ConfigError: the test is none of that.
    """
    reader.read.clear()  # what an earlier claim read
    try:
        holds = bool(_evaluate(ast.parse(test, mode="eval").body, reader.functions))
    except NotMeasuredError as lacking:
        return Judged(says, "not measured", str(lacking))
    except ZeroDivisionError:
        return Judged(says, "not measured", f"the test '{test}' divides by 0 here")
    except (SyntaxError, TypeError) as problem:
        raise ConfigError(f"benchmarks.yaml: claims: the test '{test}' cannot be read: {problem}.") from None
    return Judged(says, "held" if holds else "not held", "; ".join(dict.fromkeys(reader.read)))


def _evaluate(node: ast.AST, functions: Mapping[str, Callable[..., Any]]) -> Any:
    """Returns the value of a test. Nothing but the nodes listed here is evaluated."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float):
        return node.value
    if isinstance(node, ast.BoolOp):
        values = [_evaluate(value, functions) for value in node.values]  # all of them, so that all figures are shown
        return all(values) if isinstance(node.op, ast.And) else any(values)
    if isinstance(node, ast.UnaryOp) and type(node.op) in ARITHMETIC:
        return ARITHMETIC[type(node.op)](_evaluate(node.operand, functions))
    if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        return ARITHMETIC[type(node.op)](_evaluate(node.left, functions), _evaluate(node.right, functions))
    if isinstance(node, ast.Compare) and all(type(op) in ARITHMETIC for op in node.ops):
        sides = [_evaluate(side, functions) for side in (node.left, *node.comparators)]
        triples = zip(sides, node.ops, sides[1:], strict=False)
        return all(ARITHMETIC[type(op)](left, right) for left, op, right in triples)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        if node.func.id in functions:
            return functions[node.func.id](*(_evaluate(argument, functions) for argument in node.args))
        raise TypeError(f"there is no function '{node.func.id}'")
    raise TypeError(f"'{ast.unparse(node)}' is not allowed")


class Reader:
    """Reads what a test asks of a record, by functions of a row, and remembers what it read."""

    def __init__(self) -> None:
        self.read: list[str] = []
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
        return self._noted(f"{row} {metric} swing", self._line(row, metric, with_steps=True).swing)

    def end(self, row: str, metric: str) -> float:
        return self._noted(f"{row} {metric} end", self._line(row, metric, with_steps=True).mean[-1][1])

    def diverged(self, row: str) -> float:
        traces = self._line(row, self.curves.lines[0].metric).traces
        return self._noted(f"{row} diverged", sum(trace.diverged for trace in traces))

    def _noted(self, what: str, value: float) -> float:
        self.read.append(f"{what} {value:.4g}")
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
        found = self._cell(row, metric, "mean")
        self.read.append(f"{row} {metric} {found:.4g}")
        return found

    def gap(self, row: str, metric: str) -> float:
        found = self._cell(row, metric, "gap")
        self.read.append(f"{row} {metric} gap {found:.4g}")
        return found

    def mean_gap(self, row: str) -> float:
        found = self._mean_gap(self._row(row))
        self.read.append(f"{row} mean gap {found:.4g}")
        return found

    def smallest_mean_gap(self) -> str:
        gaps = {row.method: self._mean_gap(row) for row in self.table.rows if not row.is_reference}
        ranked: Sequence[str] = sorted(gaps, key=lambda name: gaps[name])
        self.read.append("mean gaps " + ", ".join(f"{name} {gaps[name]:.3f}" for name in ranked[:3]))
        return ranked[0]

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
        columns = [column.name for column in self.table.columns]
        if metric not in columns:
            raise TypeError(f"table {self.table.name} has no metric '{metric}'")
        cell = row.cells[columns.index(metric)]
        value = 0.0 if part == "gap" and row.method == RETRAINED else getattr(cell, part)
        if value is None or cell.n < row.expected:
            raise NotMeasuredError(f"{metric} of {name} in table {self.table.name}: {cell.n} of {row.expected} runs")
        return float(value)
