"""The noise floor: how much two retrained models differ, and how a method's difference compares to that."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from unlearn_bench.config.benchmarks import Row, TableEntry
from unlearn_bench.config.selection import Selection
from unlearn_bench.core.errors import MissingRunError
from unlearn_bench.report.chance import can_compare
from unlearn_bench.report.notes import Configuration, words_of
from unlearn_bench.report.tables import RETRAINED, by_selection, comparable_runs, label_of, runs_of_row
from unlearn_bench.report.ties import LEVEL, Values, differences_of, marks_of
from unlearn_bench.store import Store
from unlearn_bench.store.records import RunRecord

LEGEND = (
    "Mean difference from retrained, its 95 % interval (Welch's t-test over seeds; the mean over the forget sets is "
    "one observation per seed), and its size in multiples of the typical difference of two retrained models with "
    "different seeds. ≠: significantly different from retrained (5 %). ≈: equivalent to retrained; the true difference "
    "is smaller than the typical difference (two one-sided tests, 5 %). No sign: too few seeds to decide. "
    "*: the smallest difference; =: not significantly larger."
)
SIGNS = {"different": " ≠", "equivalent": " ≈", "undecided": "", "smallest": " *", "tied": " ="}
TYPICAL = 2 / math.sqrt(math.pi)  # mean |difference| of two draws from a normal distribution, in standard deviations


@dataclass(frozen=True)
class Floor:
    """The variation of a metric between retrained models of different seeds.

    Attributes:
        means: one value per seed, the mean over the forget sets of its retrained models.
    """

    means: tuple[float, ...]

    @property
    def spread(self) -> float:
        """Sample standard deviation over seeds."""
        return statistics.stdev(self.means)

    @property
    def typical(self) -> float:
        """Typical difference of two retrained models with different seeds: 2 / √π standard deviations."""
        return TYPICAL * self.spread

    def visible(self, seeds: int) -> float:
        """Returns the smallest true difference that ``seeds`` seeds of a method show with 80 % probability."""
        from scipy.special import stdtrit

        freedom = len(self.means) - 1
        error = self.spread * math.sqrt(1 / seeds + 1 / len(self.means))
        return float((stdtrit(freedom, 1 - LEVEL / 2) + stdtrit(freedom, 0.8)) * error)


@dataclass(frozen=True)
class Distance:
    """The difference of a method's mean from the retrained models' mean.

    Attributes:
        difference: mean of the method minus mean of the retrained models, each over its seeds.
        low, high: 95 % interval of the difference.
        verdict: ``different`` if the interval does not contain 0, ``equivalent`` if the 90 % interval lies within ± the
            typical difference of two retrained models, else ``undecided``.
    """

    difference: float
    low: float
    high: float
    verdict: Literal["different", "equivalent", "undecided"]


def seed_means(values: Values, metric: str, forget: Sequence[str]) -> tuple[float, ...]:
    """Returns the mean over the forget sets for each seed that has all of them, in the order of the seeds."""
    by_seed: dict[int, dict[str, float]] = defaultdict(dict)
    for (name, seed), by_metric in values.items():
        if metric in by_metric and name in forget:
            by_seed[seed][name] = by_metric[metric]
    return tuple(
        statistics.fmean(by_seed[seed].values()) for seed in sorted(by_seed) if len(by_seed[seed]) == len(set(forget))
    )


def noise_floor(retrained: Values, metric: str, forget: Sequence[str], words: str = "") -> Floor:
    """Returns the noise floor of a metric, from the retrained models of the seeds that have all forget sets.

    Args:
        retrained: values of the retrained models.
        metric: name of the metric.
        forget: forget sets.
        words: command-line options that select the experiment, for the message.

    Raises:
        MissingRunError: fewer than two such seeds.
    """
    means = seed_means(retrained, metric, forget)
    if len(means) < 2:
        raise MissingRunError(
            "A noise floor needs retrained models of at least two seeds on every forget set. Make them with: "
            f"unlearn-bench train{words} --seed 0 --seed 1"
        )
    return Floor(means)


def distance(method: Sequence[float], floor: Floor) -> Distance | None:
    """Returns the difference of a method from retraining, or None if no seed of the method has all forget sets.

    For several seeds of the method, this is Welch's t-test of two means. For one seed, the test uses the variance of
    the retrained models. More seeds make smaller differences significant. If the method is a retrained model, the
    verdict is ``different`` in 5 % of cases, as benchmarks/ties_and_floor.py measures.

    Args:
        method: one value per seed, the method's mean over the forget sets.
        floor: noise floor of the retrained models.

    Source: Welch 1947, Biometrika 34; Schuirmann 1987, J. Pharmacokinetics and Biopharmaceutics 15 (equivalence).
    """
    from scipy.special import stdtrit

    if not method:
        return None
    difference = statistics.fmean(method) - statistics.fmean(floor.means)
    theirs = floor.spread**2 / len(floor.means)
    ours = (statistics.variance(method) if len(method) > 1 else floor.spread**2) / len(method)
    error = math.sqrt(ours + theirs)
    rounding = 1e-12 * max(map(abs, (*method, *floor.means)))
    if error <= rounding:  # all seeds agree
        return Distance(
            difference, difference, difference, "equivalent" if abs(difference) <= rounding else "different"
        )
    freedom = len(floor.means) - 1.0
    if len(method) > 1:
        freedom = (ours + theirs) ** 2 / (ours**2 / (len(method) - 1) + theirs**2 / freedom)
    wide, narrow = (error * float(stdtrit(freedom, 1 - share)) for share in (LEVEL / 2, LEVEL))
    low, high = difference - wide, difference + wide
    if low > 0 or high < 0:
        return Distance(difference, low, high, "different")
    is_equivalent = abs(difference) + narrow < floor.typical
    return Distance(difference, low, high, "equivalent" if is_equivalent else "undecided")


def describe_floor(
    entry: TableEntry, placed: Sequence[tuple[Row, Selection]], store: Store
) -> tuple[list[str], list[list[str]], list[str]]:
    """Returns header, body and notes of a table of differences from retrained, in multiples of the noise floor.

    Raises:
        MissingRunError: fewer than two seeds of retrained models are recorded.
    """
    metrics, methods = store.metrics(), store.methods()
    body: list[list[str]] = []
    notes: list[str] = [LEGEND]
    verdicts: list[str] = []
    for selection, rows in by_selection(placed):
        recorded = comparable_runs(selection.experiment.key, store)
        retrained = retrained_values(recorded, selection)
        words = words_of(selection)
        floors = {metric: noise_floor(retrained, metric, selection.forget, words) for metric in entry.metrics}
        notes.append(_floor_note(floors, len(selection.seeds)))
        shown = [row for row in rows if row.method != RETRAINED]
        runs = [list(runs_of_row(recorded, row, selection).values()) for row in shown]
        by_row = [values_of(own) for own in runs]
        competes = [not (row.method in methods and methods[row.method].is_reference) for row in shown]
        columns = []
        for metric in entry.metrics:
            decimals = 1 if metric in metrics and metrics[metric].unit == "%" else 2
            distances = [distance(seed_means(values, metric, selection.forget), floors[metric]) for values in by_row]
            competing = {
                k: differences_of(values, retrained, metric)
                for k, values in enumerate(by_row)
                if competes[k] and distances[k] is not None and can_compare(metric, runs[k])
            }
            marks = marks_of(competing)
            verdicts += [result.verdict for k in competing if (result := distances[k]) is not None]
            columns.append(
                [
                    "–" if result is None else _cell(result, floors[metric], decimals) + SIGNS.get(marks.get(k, ""), "")
                    for k, result in enumerate(distances)
                ]
            )
        for k, row in enumerate(shown):
            body.append([label_of(row, methods), *(column[k] for column in columns)])
    header = [
        "Method",
        *(metrics[name].heading if name in metrics else name for name in entry.metrics),
    ]
    counts = ", ".join(f"{verdicts.count(name)} {name}" for name in ("different", "equivalent", "undecided"))
    return header, body, [*notes, f"Verdicts on {len(verdicts)} differences of methods: {counts}."]


def floors_of(selection: Selection, metrics: Sequence[str], store: Store) -> dict[str, Floor]:
    """Returns the noise floor of each metric; empty if fewer than two seeds of retrained models are recorded."""
    recorded = comparable_runs(selection.experiment.key, store)
    retrained = retrained_values(recorded, selection)
    try:
        return {metric: noise_floor(retrained, metric, selection.forget) for metric in metrics}
    except MissingRunError:
        return {}


def retrained_values(recorded: Sequence[RunRecord], selection: Selection) -> Values:
    """Returns the values of the retrained models of all recorded seeds, for one definition of the method."""
    seeds = tuple(sorted({run.seed for run in recorded if run.method == RETRAINED}))
    return values_of(list(runs_of_row(recorded, Row(method=RETRAINED), replace(selection, seeds=seeds)).values()))


def values_of(runs: Sequence[RunRecord]) -> Values:
    """Returns the values of done runs, by configuration; of several runs the first, which is the newest."""
    values: dict[Configuration, Mapping[str, float]] = {}
    for run in runs:
        if run.status == "done":
            values.setdefault((run.forget, run.seed), run.values)
    return values


def _cell(result: Distance, floor: Floor, decimals: int) -> str:
    gap = abs(result.difference)
    units = f"{gap / floor.typical:.1f}×" if floor.typical else "∞×" if gap else "0×"
    interval = f"[{result.low:+.{decimals}f}, {result.high:+.{decimals}f}]"
    return f"{result.difference:+.{decimals}f} {interval} {units}{SIGNS[result.verdict]}"


def _floor_note(floors: Mapping[str, Floor], seeds: int) -> str:
    count = len(next(iter(floors.values())).means)
    parts = ", ".join(f"{name} {floor.typical:.3g} ({floor.visible(seeds):.3g})" for name, floor in floors.items())
    return (
        f"Typical difference of two retrained models (from {count} seeds, each a mean over the forget sets); in "
        f"parentheses, the smallest difference of a method with {seeds} seed{'s' if seeds > 1 else ''} that is "
        f"significant with 80 % probability: {parts}."
    )
