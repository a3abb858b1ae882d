"""The paper's checkable statements against the record: held, not held, not measured, each with its figures."""

from __future__ import annotations

import ast
import operator
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from unlearn_bench.errors import ConfigError
from unlearn_bench.report.tables import RETRAINED, Table, TableRow

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


def judge(says: str, test: str, table: Table) -> Judged:
    """Returns what a table says of a claim.

    Args:
        says: the claim in words.
        test: an expression of comparisons, arithmetic, ``and``, ``or``, ``not``, and these functions of a row, which is
            a label, or a method that one row has: ``value(row, metric)``, ``gap(row, metric)`` to retrained,
            ``mean_gap(row)`` over the table's metrics (percent as shares), ``smallest_mean_gap()``, the method of it.
        table: as far as it is measured.

    Raises:
        ConfigError: the test is none of that.
    """
    reader = _Reader(table)
    try:
        holds = bool(reader.evaluate(ast.parse(test, mode="eval").body))
    except NotMeasuredError as lacking:
        return Judged(says, "not measured", str(lacking))
    except ZeroDivisionError:
        return Judged(says, "not measured", f"the test '{test}' divides by 0 here")
    except (SyntaxError, TypeError) as problem:
        raise ConfigError(f"benchmarks.yaml: claims: the test '{test}' cannot be read: {problem}.") from None
    return Judged(says, "held" if holds else "not held", "; ".join(dict.fromkeys(reader.read)))


class _Reader:
    """Evaluates a test on a table, and remembers what it read. Nothing but the nodes listed here is evaluated."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.read: list[str] = []
        self.functions: dict[str, Callable[..., Any]] = {
            "value": self.value,
            "gap": self.gap,
            "mean_gap": self.mean_gap,
            "smallest_mean_gap": self.smallest_mean_gap,
        }

    def evaluate(self, node: ast.AST) -> Any:
        if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float):
            return node.value
        if isinstance(node, ast.BoolOp):
            values = [self.evaluate(value) for value in node.values]  # all of them, so that all figures are shown
            return all(values) if isinstance(node.op, ast.And) else any(values)
        if isinstance(node, ast.UnaryOp) and type(node.op) in ARITHMETIC:
            return ARITHMETIC[type(node.op)](self.evaluate(node.operand))
        if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
            return ARITHMETIC[type(node.op)](self.evaluate(node.left), self.evaluate(node.right))
        if isinstance(node, ast.Compare) and all(type(op) in ARITHMETIC for op in node.ops):
            sides = [self.evaluate(side) for side in (node.left, *node.comparators)]
            triples = zip(sides, node.ops, sides[1:], strict=False)
            return all(ARITHMETIC[type(op)](left, right) for left, op, right in triples)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            if node.func.id in self.functions:
                return self.functions[node.func.id](*(self.evaluate(argument) for argument in node.args))
            raise TypeError(f"there is no function '{node.func.id}'")
        raise TypeError(f"'{ast.unparse(node)}' is not allowed")

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
        shares = []
        for column in self.table.columns:
            shares.append(self._cell(row.label, column.name, "gap") / (100 if column.unit == "%" else 1))
        return statistics.fmean(shares)

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
