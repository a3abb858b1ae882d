"""How far two retrained models lie apart, and which methods are no farther from retraining than that."""

from __future__ import annotations

import itertools
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unlearn_bench.config import Row, TableEntry
from unlearn_bench.errors import MissingRunError
from unlearn_bench.report.tables import RETRAINED, comparable_runs, runs_of_row
from unlearn_bench.selection import Selection
from unlearn_bench.store import Store
from unlearn_bench.store.records import RunRecord

RESAMPLES = 9_999
CONFIDENCE = 0.95

LEGEND = (
    "Gap to retrained, 95 % interval of the difference (paired bootstrap over configurations), and the gap in units of "
    "the mean gap between two retrained models of different seeds. ≈: no larger than the largest such gap, so "
    "indistinguishable from retraining on that metric."
)

Values = dict[tuple[str, int], dict[str, float]]  # (forget set, seed) to metric values


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


def noise_floor(retrained: Values, metric: str) -> Floor:
    """Returns the floor of a metric from the retrained models of several seeds, on the forget sets that all have.

    Raises:
        MissingRunError: fewer than two seeds.
    """
    by_seed: dict[int, dict[str, float]] = defaultdict(dict)
    for (forget, seed), values in retrained.items():
        if metric in values:
            by_seed[seed][forget] = values[metric]
    shared = set.intersection(*(set(found) for found in by_seed.values())) if by_seed else set()
    if len(by_seed) < 2 or not shared:
        raise MissingRunError(
            "A noise floor needs retrained models of two seeds or more. Make them with: unlearn-bench train --seed 0 "
            "--seed 1"
        )
    means = [statistics.fmean(found[forget] for forget in sorted(shared)) for found in by_seed.values()]
    gaps = [abs(one - other) for one, other in itertools.combinations(means, 2)]
    return Floor(len(by_seed), statistics.fmean(gaps), max(gaps))


def distance(method: Values, retrained: Values, metric: str, floor: Floor) -> Distance | None:
    """Returns how far a method is from retraining, or None where it has no configuration in common with it."""
    pairs = sorted(pair for pair, values in method.items() if metric in values and pair in retrained)
    differences = [method[pair][metric] - retrained[pair][metric] for pair in pairs]
    if not differences:
        return None
    gap = abs(statistics.fmean(differences))
    low, high = _interval(differences)
    return Distance(gap, low, high, gap <= floor.largest)


def _interval(differences: Sequence[float]) -> tuple[float | None, float | None]:
    if len(differences) < 2:
        return None, None
    if max(differences) == min(differences):
        return differences[0], differences[0]
    from scipy.stats import bootstrap  # a second to import, for reports that ask for it

    found = bootstrap(
        (differences,),
        statistics.fmean,
        vectorized=False,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
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
    inside = measured = 0
    floors: dict[str, dict[str, Floor]] = {}
    for row, selection in placed:
        key = selection.experiment.key
        recorded = comparable_runs(key, store)
        retrained = values_of([run for run in recorded if run.method == RETRAINED and run.forget in selection.forget])
        if key not in floors:
            floors[key] = {metric: noise_floor(retrained, metric) for metric in entry.metrics}
        if row.method == RETRAINED:
            continue
        found = values_of(list(runs_of_row(recorded, row, selection).values()))
        cells = []
        for metric in entry.metrics:
            floor = floors[key][metric]
            lies = distance(found, retrained, metric, floor)
            measured += lies is not None
            inside += lies is not None and lies.inside
            cells.append("–" if lies is None else _cell(lies, floor, 1 if metrics[metric].unit == "%" else 2))
        label = methods[row.method].label if row.method in methods else row.method
        body.append([row.label or label, *cells])
    header = ["Method", *(f"{metrics[name].label} {metrics[name].unit}".strip() for name in entry.metrics)]
    return header, body, [*_notes(floors, metrics), f"{inside} of {measured} gaps are inside the floor."]


def floors_of(selection: Selection, metrics: Sequence[str], store: Store) -> dict[str, Floor]:
    """Returns the floor of each metric, none where retrained models of a single seed are recorded."""
    recorded = comparable_runs(selection.experiment.key, store)
    retrained = values_of([run for run in recorded if run.method == RETRAINED and run.forget in selection.forget])
    try:
        return {metric: noise_floor(retrained, metric) for metric in metrics}
    except MissingRunError:
        return {}


def values_of(runs: Sequence[RunRecord]) -> Values:
    """Returns the values of the runs that are done, by configuration; of several the newest, which comes first."""
    found: Values = {}
    for run in runs:
        if run.status == "done":
            found.setdefault((run.forget, run.seed), run.values)
    return found


def _cell(lies: Distance, floor: Floor, decimals: int) -> str:
    units = f"{lies.gap / floor.typical:.1f}×" if floor.typical else "∞×" if lies.gap else "0×"
    interval = f" [{lies.low:+.{decimals}f}, {lies.high:+.{decimals}f}]" if lies.low is not None else ""
    return f"{lies.gap:.{decimals}f}{interval} {units}{' ≈' if lies.inside else ''}"


def _notes(floors: Mapping[str, Mapping[str, Floor]], metrics: Mapping[str, object]) -> list[str]:
    lines = [LEGEND]
    for found in floors.values():
        seeds = next(iter(found.values())).seeds
        parts = ", ".join(f"{name} {floor.typical:.3g} (largest {floor.largest:.3g})" for name, floor in found.items())
        lines.append(f"Floor from {seeds} seeds: {parts}.")
    return lines
