"""Finds the metrics that a cheat passes. Such a metric rewards a method that forgets nothing."""

from __future__ import annotations

from collections.abc import Sequence

from unlearn_bench.core.errors import MissingRunError
from unlearn_bench.report.tables import Table, TableRow

ORIGINAL = "original"
CREDIT = 0.5  # a cheat passes a metric if it closes at least this share of the original's gap


def audit_metrics(table: Table, cheats: Sequence[str]) -> tuple[list[str], list[list[str]], list[str]]:
    """Returns header, body and notes of a table with the share of the original's gap that each cheat closes, by metric.

    A cheat forgets nothing: it keeps the original's features, or it does not read training data. It passes a metric if
    it closes at least half of the original model's gap to the retrained model.

    Args:
        table: a table with rows for the original model and for cheats.
        cheats: names of the methods that are cheats.

    Raises:
        MissingRunError: the table lacks the original model or has no cheat.
    """
    rows = {row.method: row for row in table.rows}
    present = [name for name in cheats if name in rows]
    if ORIGINAL not in rows or not present:
        raise MissingRunError(
            f"Table {table.name} needs rows for the original model and for a cheat. Run: unlearn-bench reproduce "
            "--table cheats, then unlearn-bench report --table cheats --audit-metrics"
        )
    body, passed = [], []
    for position, column in enumerate(table.columns):
        original_gap = rows[ORIGINAL].cells[position].gap
        closed = [_closed(rows[name], position, original_gap) for name in present]
        passing = [name for name, share in zip(present, closed, strict=True) if share is not None and share >= CREDIT]
        passed += [column.name] if passing else []
        verdict = f"passed by {', '.join(rows[name].label for name in passing)}" if passing else "holds"
        body.append([column.label, *("–" if share is None else f"{share:.0%}" for share in closed), verdict])
    notes = [
        "Share of the original model's gap to retrained that each cheat closes. A cheat forgets nothing, so a metric "
        "on which it closes half of the gap or more is no evidence of forgetting by itself.",
        f"Metrics that a cheat passes: {', '.join(passed) or 'none'}.",
    ]
    return ["Metric", *(rows[name].label for name in present), "verdict"], body, notes


def _closed(row: TableRow, position: int, original_gap: float | None) -> float | None:
    gap = row.cells[position].gap
    return None if gap is None or not original_gap else 1 - gap / original_gap
