"""Whether a table still has the values that were recorded: measured anew, compared, and said of every metric."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from unlearn_bench.bench import Bench, Machinery
from unlearn_bench.config import Benchmarks
from unlearn_bench.expectations import Comparison, Expectation, Expected, Mark
from unlearn_bench.report.tables import Table
from unlearn_bench.store import Store

TOLERANCE = {"%": 1.0, "": 0.01}  # by unit: what nobody would call a change, were the seeds to agree even closer
TOLERANCE_DISTURBED = {"%": 0.6, "": 0.005}  # likewise of one seed: one test image of one of five forget sets of digits
DIGITS = 5  # significant, of recorded values


def measure(
    benchmarks: Benchmarks, store: Store, entry: Expectation, repeats: Sequence[int], machinery: Machinery
) -> tuple[dict[int, Table], tuple[str, ...]]:
    """Returns the table of an expectation at each repeat, its missing runs made, and the keys of all its runs.

    A repeat is a disturbance of the start weights of the first seed, or a seed, see
    :attr:`unlearn_bench.expectations.Expectation.repeats`. A table whose retrained runs failed is empty: all of it is
    lost.

    Raises:
        UserError: see :meth:`unlearn_bench.bench.Bench.reproduce`.
    """

    def bench(repeat: int) -> Bench:
        where = {"seeds": entry.seeds[:1], "disturbance": repeat} if entry.disturbances else {"seeds": [repeat]}
        return Bench.choose(benchmarks, store, profile=entry.profile, forget=entry.forget, **where)

    runs: list[str] = []
    for repeat in repeats:
        runs += bench(repeat).reproduce([benchmarks.table(entry.table)], machinery).runs
    return {each: bench(each).table(entry.table, without_reference=True) for each in repeats}, tuple(runs)


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
    """Returns the comparison of every method and metric, recorded or measured.

    A difference counts beyond both the tolerance and the spread over repeats, see
    :meth:`unlearn_bench.expectations.Expectation.margins`. It is the difference from the mean over all recorded
    repeats: where references are trained, another processor's first seed is as far from the recorded one as another
    seed is. A method that collapses at some repeats has heavier tails than a normal distribution, which is why a check
    measures what fails again, see :func:`settle`.
    """
    fresh: dict[tuple[str, str], list[float]] = {}
    for table in tables.values():
        for place, value in _values(table).items():
            fresh.setdefault(place, []).append(value)
    after = {place: statistics.fmean(found) for place, found in fresh.items() if len(found) == len(tables)}
    is_first = list(tables) == entry.repeats[:1]
    margins = entry.margins(len(tables))
    expected = {(method, metric): one for method, values in entry.values.items() for metric, one in values.items()}
    before = {place: one.value if is_first else one.mean for place, one in expected.items()}
    compared = []
    for place in dict.fromkeys([*before, *after]):
        method, metric = place
        margin = margins.get(place, entry.tolerance.get(metric, 0.0))
        old, new = before.get(place), after.get(place)
        centre = expected[place].mean if place in expected else None
        targets = (before.get(("retrained", metric)), after.get(("retrained", metric)))
        mark = _mark(old, new, centre, margin, targets, method)
        compared.append(Comparison(method, metric, old, new, margin, mark))
    return compared


def settle(first: Sequence[Comparison], again: Sequence[Comparison]) -> list[Comparison]:
    """Returns the comparisons, in place of those that fail what more repeats say of them.

    A method that collapses at some repeats does so at one of them; what the code does wrong, it does at all.
    """
    by_place = {(each.method, each.metric): each for each in again}
    return [by_place[each.method, each.metric] if each.fails else each for each in first]


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
    """Returns the mean of each cell all of whose configurations are done, by method and metric."""
    return {
        (row.method, column.name): cell.mean
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
        if cell.mean is not None and cell.n == row.expected
    }
