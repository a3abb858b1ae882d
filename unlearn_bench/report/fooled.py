"""Which metrics a cheat passes: one that gives credit to a method that forgot nothing proves no forgetting."""

from __future__ import annotations

from collections.abc import Sequence

from unlearn_bench.errors import MissingRunError
from unlearn_bench.report.tables import Table, TableRow

ORIGINAL = "original"
CREDIT = 0.5  # share of the original's gap that a cheat must close to pass


def audit_metrics(table: Table, cheats: Sequence[str]) -> tuple[list[str], list[list[str]], list[str]]:
    """Returns header, body and notes: for each metric, how much of the original's gap each cheat closes.

    A cheat forgets nothing: its features are the original's, or its training data were not read. A metric on which it
    closes half of the original model's gap to retraining, or more, is passed by it.

    Args:
        table: with the original model and cheats among its rows.
        cheats: names of the methods that are cheats.

    Raises:
        MissingRunError: the table lacks the original or every cheat, or they have not been measured.
    """
    rows = {row.method: row for row in table.rows}
    present = [name for name in cheats if name in rows]
    if ORIGINAL not in rows or not present:
        raise MissingRunError(
            f"Table {table.name} has no cheat beside the original model. Use: unlearn-bench reproduce --table cheats, "
            "then report --table cheats --audit-metrics"
        )
    body, passed = [], []
    for position, column in enumerate(table.columns):
        start = rows[ORIGINAL].cells[position].gap
        closed = [_closed(rows[name], position, start) for name in present]
        fooled = [name for name, share in zip(present, closed, strict=True) if share is not None and share >= CREDIT]
        passed += [column.name] if fooled else []
        verdict = f"passed by {', '.join(rows[name].label for name in fooled)}" if fooled else "holds"
        body.append([column.label, *("–" if share is None else f"{share:.0%}" for share in closed), verdict])
    notes = [
        "Share of the original model's gap to retrained that each cheat closes. A metric on which a cheat closes half "
        "of it or more gives credit for nothing: it says little of forgetting when read alone.",
        f"Passed: {', '.join(passed) or 'none'}.",
    ]
    return ["Metric", *(rows[name].label for name in present), "verdict"], body, notes


def _closed(row: TableRow, position: int, start: float | None) -> float | None:
    gap = row.cells[position].gap
    return None if gap is None or not start else 1 - gap / start
