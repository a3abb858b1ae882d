"""How far two retrained models lie apart, and which methods are no farther from retraining than that."""

from __future__ import annotations

import itertools
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from unlearn_bench.config import Row, TableEntry
from unlearn_bench.errors import MissingRunError
from unlearn_bench.report.notes import Configuration, words_of
from unlearn_bench.report.tables import RETRAINED, by_selection, comparable_runs, label_of, runs_of_row
from unlearn_bench.report.ties import CONFIDENCE, RESAMPLES, Values, differences_of, tied
from unlearn_bench.selection import Selection
from unlearn_bench.store import Store
from unlearn_bench.store.records import RunRecord

LEGEND = (
    "Gap to retrained, 95 % interval of the difference (paired bootstrap over configurations), and the gap in units of "
    "the mean gap between two retrained models of different seeds. ≈: no larger than the largest such gap, so "
    "indistinguishable from retraining on that metric. *: the smallest gap; =: not distinguishable from it (paired "
    "bootstrap of the difference of the two gaps)."
)


@dataclass(frozen=True)
class Floor:
    """What chance alone does to a metric's mean over forget sets.

    Attributes:
        seeds: retrained models of each forget set.
        typical: mean over pairs of seeds of |mean of one − mean of the other|.
        largest: the largest of these.
    """

    seeds: int
    typical: float
    largest: float


@dataclass(frozen=True)
class Distance:
    """How far a method's mean lies from the retrained model's.

    Attributes:
        gap: |mean of the method − mean of retrained|, over the same configurations.
        low, high: 95 % interval of the mean difference, paired bootstrap over configurations (SciPy's BCa); None for
            fewer than two.
        inside: whether the gap is no larger than the largest between two retrained models.
    """

    gap: float
    low: float | None
    high: float | None
    inside: bool


def noise_floor(retrained: Values, metric: str, forget: Sequence[str], words: str = "") -> Floor:
    """Returns the floor of a metric from the retrained models of those seeds that have all the forget sets.

    Raises:
        MissingRunError: fewer than two such seeds.
    """
    by_seed: dict[int, dict[str, float]] = defaultdict(dict)
    for (name, seed), values in retrained.items():
        if metric in values and name in forget:
            by_seed[seed][name] = values[metric]
    means = [statistics.fmean(found.values()) for found in by_seed.values() if len(found) == len(set(forget))]
    if len(means) < 2:
        raise MissingRunError(
            "A noise floor needs retrained models of two seeds or more on every forget set. Make them with: "
            f"unlearn-bench train{words} --seed 0 --seed 1"
        )
    gaps = [abs(one - other) for one, other in itertools.combinations(means, 2)]
    return Floor(len(means), statistics.fmean(gaps), max(gaps))


def distance(method: Values, retrained: Values, metric: str, floor: Floor) -> Distance | None:
    """Returns how far a method is from retraining, or None where it has no configuration in common with it."""
    differences = differences_of(method, retrained, metric)
    if not differences:
        return None
    values = list(differences.values())
    gap = abs(statistics.fmean(values))
    low, high = _interval(values)
    return Distance(gap, low, high, gap <= floor.largest)


def _interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    import numpy as np
    from scipy.stats import bootstrap  # a second to import, for reports that ask for it

    if len(values) < 2:
        return None, None
    if np.ptp(values) == 0:  # every resample is the same
        return values[0], values[0]
    found = bootstrap(
        (np.asarray(values, dtype=float),),
        np.mean,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="BCa",
        random_state=0,
    ).confidence_interval
    return float(found.low), float(found.high)


def describe_floor(
    entry: TableEntry, placed: Sequence[tuple[Row, Selection]], store: Store
) -> tuple[list[str], list[list[str]], list[str]]:
    """Returns header, body and notes of a table of distances in units of the noise floor.

    Raises:
        MissingRunError: fewer than two seeds of retrained models are recorded.
    """
    metrics, methods = store.metrics(), store.methods()
    body: list[list[str]] = []
    notes: list[str] = [LEGEND]
    inside = measured = 0
    for selection, rows in by_selection(placed):
        recorded = comparable_runs(selection.experiment.key, store)
        retrained = _retrained(recorded, selection)
        words = words_of(selection)
        floors = {metric: noise_floor(retrained, metric, selection.forget, words) for metric in entry.metrics}
        notes.append(_floor_note(floors))
        shown = [row for row in rows if row.method != RETRAINED]
        found = [values_of(list(runs_of_row(recorded, row, selection).values())) for row in shown]
        is_reference = [row.method in methods and methods[row.method].is_reference for row in shown]
        columns = []
        for metric in entry.metrics:
            decimals = 1 if metric in metrics and metrics[metric].unit == "%" else 2
            distances = [distance(values, retrained, metric, floors[metric]) for values in found]
            differences = [differences_of(values, retrained, metric) for values in found]
            competing = [k for k, lies in enumerate(distances) if lies is not None and not is_reference[k]]
            best = min(competing, key=lambda k: distances[k].gap, default=None)  # type: ignore[union-attr]  # not None
            measured += len(competing)
            inside += sum(lies is not None and lies.inside for k, lies in enumerate(distances) if k in competing)
            column = []
            for k, lies in enumerate(distances):
                mark = ""
                if best is not None and k in competing:
                    mark = " *" if k == best else " =" if tied(differences[k], differences[best]) else ""
                column.append("–" if lies is None else _cell(lies, floors[metric], decimals) + mark)
            columns.append(column)
        for k, row in enumerate(shown):
            body.append([label_of(row, methods), *(column[k] for column in columns)])
    header = [
        "Method",
        *(metrics[name].heading if name in metrics else name for name in entry.metrics),
    ]
    return header, body, [*notes, f"{inside} of {measured} gaps of methods are inside the floor."]


def floors_of(selection: Selection, metrics: Sequence[str], store: Store) -> dict[str, Floor]:
    """Returns the floor of each metric, none where retrained models of a single seed are recorded."""
    recorded = comparable_runs(selection.experiment.key, store)
    retrained = _retrained(recorded, selection)
    try:
        return {metric: noise_floor(retrained, metric, selection.forget) for metric in metrics}
    except MissingRunError:
        return {}


def _retrained(recorded: Sequence[RunRecord], selection: Selection) -> Values:
    """Returns the values of the retrained models of every recorded seed, all of one definition."""
    seeds = tuple(sorted({run.seed for run in recorded if run.method == RETRAINED}))
    return values_of(list(runs_of_row(recorded, Row(method=RETRAINED), replace(selection, seeds=seeds)).values()))


def values_of(runs: Sequence[RunRecord]) -> Values:
    """Returns the values of the runs that are done, by configuration; of several the newest, which comes first."""
    found: dict[Configuration, Mapping[str, float]] = {}
    for run in runs:
        if run.status == "done":
            found.setdefault((run.forget, run.seed), run.values)
    return found


def _cell(lies: Distance, floor: Floor, decimals: int) -> str:
    units = f"{lies.gap / floor.typical:.1f}×" if floor.typical else "∞×" if lies.gap else "0×"
    interval = f" [{lies.low:+.{decimals}f}, {lies.high:+.{decimals}f}]" if lies.low is not None else ""
    return f"{lies.gap:.{decimals}f}{interval} {units}{' ≈' if lies.inside else ''}"


def _floor_note(floors: Mapping[str, Floor]) -> str:
    seeds = next(iter(floors.values())).seeds
    parts = ", ".join(f"{name} {floor.typical:.3g} (largest {floor.largest:.3g})" for name, floor in floors.items())
    return f"Floor from {seeds} seeds: {parts}."
