"""Whether a table still has the values that were recorded: measured anew, compared, and said of every metric."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from functools import lru_cache

from unlearn_bench.bench import Bench, Machinery
from unlearn_bench.config import Benchmarks
from unlearn_bench.expectations import Comparison, Expectation, Expected, Mark
from unlearn_bench.report.tables import Table
from unlearn_bench.store import Store

FALSE_ALARMS = 1e-3  # how often a check of unchanged code may fail at another seed, all its comparisons together
TOLERANCE = {"%": 1.0, "": 0.01}  # by unit: what nobody would call a change, were the seeds to agree even closer
DIGITS = 5  # significant, of recorded values


def measure(
    benchmarks: Benchmarks, store: Store, entry: Expectation, seeds: Sequence[int], machinery: Machinery
) -> tuple[dict[int, Table], tuple[str, ...]]:
    """Returns the table of an expectation at each of the seeds, its missing runs made, and the keys of all its runs.

    A table whose retrained runs failed is empty: all of it is lost.

    Raises:
        UserError: see :meth:`unlearn_bench.bench.Bench.reproduce`.
    """

    def bench(chosen: Sequence[int]) -> Bench:
        return Bench.choose(benchmarks, store, profile=entry.profile, forget=entry.forget, seeds=chosen)

    outcome = bench(seeds).reproduce([benchmarks.table(entry.table)], machinery)
    return {seed: bench([seed]).table(entry.table, without_reference=True) for seed in seeds}, outcome.runs


def record(entry: Expectation, tables: Mapping[int, Table], measured: str) -> Expectation:
    """Returns the expectation with the values of these tables, the first of which is the one to be measured again."""
    first, *_ = tables.values()
    values: dict[str, dict[str, Expected]] = {}
    for row, name in _values(first):
        found = [value for table in tables.values() if (value := _values(table).get((row, name))) is not None]
        if len(found) == len(tables):
            spread = statistics.stdev(found) if len(found) > 1 else 0.0
            numbers = (float(f"{number:.{DIGITS}g}") for number in (found[0], statistics.fmean(found), spread))
            values.setdefault(row, {})[name] = Expected(*numbers)
    tolerance = {column.name: TOLERANCE.get(column.unit, TOLERANCE[""]) for column in first.columns}
    return entry.model_copy(
        update={
            "seeds": list(tables),
            "tolerance": {**tolerance, **entry.tolerance},
            "measured": measured,
            "values": values,
        }
    )


def compare(entry: Expectation, tables: Mapping[int, Table]) -> list[Comparison]:
    """Returns the comparison of every method and metric, recorded or measured.

    A difference counts beyond both the tolerance and the spread over seeds: the half width of Student's interval for
    the mean of so many new seeds, at a level at which all comparisons together fail once in 1 / ``FALSE_ALARMS``
    checks of unchanged code, where means over forget sets are normal. A method that collapses at some seeds has
    heavier tails, which is why a check measures what fails at further seeds, see :func:`settle`.
    """
    fresh: dict[tuple[str, str], list[float]] = {}
    for table in tables.values():
        for place, value in _values(table).items():
            fresh.setdefault(place, []).append(value)
    after = {place: statistics.fmean(found) for place, found in fresh.items() if len(found) == len(tables)}
    same_seed = list(tables) == entry.seeds[:1]
    count = sum(len(values) for values in entry.values.values())
    factor = _factor(len(entry.seeds), len(tables), count) if count else 0.0
    before = {
        (method, metric): expected.value if same_seed else expected.mean
        for method, values in entry.values.items()
        for metric, expected in values.items()
    }
    compared = []
    for place in dict.fromkeys([*before, *after]):
        method, metric = place
        expected = entry.values.get(method, {}).get(metric)
        margin = max(entry.tolerance.get(metric, 0.0), factor * expected.spread if expected else 0.0)
        old, new = before.get(place), after.get(place)
        targets = (before.get(("retrained", metric)), after.get(("retrained", metric)))
        compared.append(Comparison(method, metric, old, new, margin, _mark(old, new, margin, targets, method)))
    return compared


def settle(first: Sequence[Comparison], again: Sequence[Comparison]) -> list[Comparison]:
    """Returns the comparisons, in place of those that fail what more seeds say of them.

    A method that collapses at some seeds does so at one of them; what the code does wrong, it does at all.
    """
    by_place = {(each.method, each.metric): each for each in again}
    return [by_place[each.method, each.metric] if each.fails else each for each in first]


def _mark(
    old: float | None, new: float | None, margin: float, targets: tuple[float | None, float | None], method: str
) -> Mark:
    if old is None:
        return "unexpected"
    if new is None:
        return "lost"
    if abs(new - old) <= margin:
        return "same" if float(f"{new:.{DIGITS}g}") == old else "within"
    if targets[0] is None or targets[1] is None or method in ("original", "retrained"):
        return "changed"
    return "worse" if abs(new - targets[1]) > abs(old - targets[0]) else "better"


@lru_cache
def _factor(seeds: int, fresh: int, comparisons: int) -> float:
    """Returns how many standard deviations a mean of ``fresh`` seeds may lie from the mean of ``seeds`` others."""
    from scipy.stats import t  # a second to import

    if seeds < 2:
        return 0.0
    level = FALSE_ALARMS / comparisons / 2
    return float(t.isf(level, seeds - 1)) * (1 / fresh + 1 / seeds) ** 0.5


def _values(table: Table) -> dict[tuple[str, str], float]:
    """Returns the mean of each cell all of whose configurations are done, by method and metric."""
    return {
        (row.method, column.name): cell.mean
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
        if cell.mean is not None and cell.n == row.expected
    }
