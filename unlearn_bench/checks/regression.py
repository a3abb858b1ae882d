"""Checks whether a table still has its recorded values: measures it again and compares every metric."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from unlearn_bench.checks.regression_report import verdict
from unlearn_bench.config.benchmarks import Benchmarks
from unlearn_bench.config.expectations import Comparison, Expectation, Expected, Mark
from unlearn_bench.config.selection import Choice
from unlearn_bench.report.bench import Bench
from unlearn_bench.report.tables import Table
from unlearn_bench.running.making import ExecutionConfig, reproduce
from unlearn_bench.store import Store

# by unit: a smaller difference never counts as a change, even if the seeds agree more closely
TOLERANCE = {"%": 1.0, "": 0.01}
TOLERANCE_DISTURBED = {"%": 0.6, "": 0.005}  # for one seed: one test image of one of five forget sets of digits
DIGITS = 5  # significant digits of recorded values


def measure(
    benchmarks: Benchmarks, store: Store, entry: Expectation, repeats: Sequence[int], execution: ExecutionConfig
) -> tuple[dict[int, Table], tuple[str, ...]]:
    """Makes the missing runs, and returns the table of an expectation for each repeat and the keys of all its runs.

    A repeat is a disturbance of the start weights of the first seed, or a seed, see
    :attr:`unlearn_bench.config.expectations.Expectation.repeats`. If the retrained runs of a table failed, the table is
    empty, and all its values count as lost.

    Raises:
        UserError: see :func:`unlearn_bench.running.making.reproduce`.
    """

    def bench(repeat: int) -> Bench:
        seeds = {"seeds": entry.seeds[:1], "disturbance": repeat} if entry.disturbances else {"seeds": [repeat]}
        return Bench.choose(benchmarks, store, Choice(profile=entry.profile, forget=entry.forget, **seeds))

    runs: list[str] = []
    for repeat in repeats:
        runs += reproduce(bench(repeat), [benchmarks.table(entry.table)], execution).runs
    return {repeat: bench(repeat).table(entry.table, without_reference=True) for repeat in repeats}, tuple(runs)


def record(entry: Expectation, tables: Mapping[int, Table], measured: str) -> Expectation:
    """Returns the expectation with the values of these tables; a check measures the first of them again."""
    first, *_ = tables.values()
    values: dict[str, dict[str, Expected]] = {}
    for row, name in _values(first):
        repeats = [value for table in tables.values() if (value := _values(table).get((row, name))) is not None]
        if len(repeats) == len(tables):
            spread = statistics.stdev(repeats) if len(repeats) > 1 else 0.0
            numbers = (float(f"{number:.{DIGITS}g}") for number in (repeats[0], statistics.fmean(repeats), spread))
            values.setdefault(row, {})[name] = Expected(*numbers)
    by_unit = TOLERANCE_DISTURBED if entry.disturbances else TOLERANCE
    tolerance = {column.name: by_unit.get(column.unit, by_unit[""]) for column in first.columns}
    return entry.model_copy(
        update={
            "seeds": entry.seeds[:1] if entry.disturbances else list(tables),
            "tolerance": {**tolerance, **entry.tolerance},
            "measured": measured,
            "values": values,
        }
    )


def compare(entry: Expectation, tables: Mapping[int, Table]) -> list[Comparison]:
    """Returns the comparison of every method and metric that is recorded or measured.

    A difference counts if it exceeds both the tolerance and the spread over repeats, see
    :meth:`unlearn_bench.config.expectations.Expectation.margins`. It is taken from the mean over all recorded repeats,
    not from the first one, because training on another processor changes the result as much as another seed does. The
    values of a method that collapses in some repeats have heavier tails than a normal distribution. A check therefore
    measures failing values again, see :func:`settle`.
    """
    fresh: dict[tuple[str, str], list[float]] = {}
    for table in tables.values():
        for cell, value in _values(table).items():
            fresh.setdefault(cell, []).append(value)
    after = {cell: statistics.fmean(values) for cell, values in fresh.items() if len(values) == len(tables)}
    is_first = list(tables) == entry.repeats[:1]
    margins = entry.margins(len(tables))
    expected = {(method, metric): cell for method, cells in entry.values.items() for metric, cell in cells.items()}
    before = {cell: value.value if is_first else value.mean for cell, value in expected.items()}
    compared = []
    for cell in dict.fromkeys([*before, *after]):
        method, metric = cell
        margin = margins.get(cell, entry.tolerance.get(metric, 0.0))
        old, new = before.get(cell), after.get(cell)
        centre = expected[cell].mean if cell in expected else None
        targets = (before.get(("retrained", metric)), after.get(("retrained", metric)))
        mark = _mark(old, new, centre, margin, targets, method)
        compared.append(Comparison(method, metric, old, new, margin, mark))
    return compared


def retest(
    benchmarks: Benchmarks,
    store: Store,
    entry: Expectation,
    tables: Mapping[int, Table],
    compared: Sequence[Comparison],
    repeats: int,
    execution: ExecutionConfig,
) -> list[Comparison]:
    """Returns the comparisons after at most ``repeats`` further repeats, if a value fails."""
    further = [repeat for repeat in entry.repeats if repeat not in tables][:repeats]
    if not further or not any(comparison.fails for comparison in compared):
        return list(compared)
    what = "disturbances" if entry.disturbances else "seeds"
    execution.say(f"{verdict(compared)} Measuring again with {what} {', '.join(map(str, further))}.")
    more, _ = measure(benchmarks, store, entry, [*tables, *further], execution)
    return settle(compared, compare(entry, more))


def settle(first: Sequence[Comparison], again: Sequence[Comparison]) -> list[Comparison]:
    """Returns the first comparisons, with each failing one replaced by its comparison over more repeats.

    A method that collapses in some repeats may fail in a single one; an error in the code fails in all of them.
    """
    by_cell = {(comparison.method, comparison.metric): comparison for comparison in again}
    return [by_cell[comparison.method, comparison.metric] if comparison.fails else comparison for comparison in first]


def _mark(
    old: float | None,
    new: float | None,
    centre: float | None,
    margin: float,
    targets: tuple[float | None, float | None],
    method: str,
) -> Mark:
    if old is None or centre is None:
        return "unexpected"
    if new is None:
        return "lost"
    if abs(new - centre) <= margin:
        return "same" if float(f"{new:.{DIGITS}g}") == old else "within"
    if targets[0] is None or targets[1] is None or method in ("original", "retrained"):
        return "changed"
    return "worse" if abs(new - targets[1]) > abs(old - targets[0]) else "better"


def _values(table: Table) -> dict[tuple[str, str], float]:
    """Returns the mean of each cell whose configurations are all done, by method and metric."""
    return {
        (row.method, column.name): cell.mean
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
        if cell.mean is not None and cell.n == row.expected
    }
