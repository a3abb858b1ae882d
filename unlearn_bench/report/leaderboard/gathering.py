"""Builds a leaderboard from the recorded runs of one or several tables."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from unlearn_bench.config.benchmarks import TableEntry
from unlearn_bench.config.selection import PlacedRow, Selection
from unlearn_bench.core.errors import MissingRunError, OptionError
from unlearn_bench.report.chance import can_compare
from unlearn_bench.report.floor import noise_floor, retrained_values, values_of
from unlearn_bench.report.leaderboard.ranks import rank
from unlearn_bench.report.leaderboard.standings import FORGET_SET, Leaderboard, Standing
from unlearn_bench.report.notes import Configuration, words_of
from unlearn_bench.report.page.content import Cost, cost_of
from unlearn_bench.report.tables import RETRAINED, by_selection, comparable_runs, label_of, runs_of_row
from unlearn_bench.report.ties import Values
from unlearn_bench.store import Store
from unlearn_bench.store.records import MetricRecord, RunRecord

STEP = {"%": 1.0, "": 0.01}  # the unit of a metric in which all retrained models agree, by the unit of the metric
ORIGINAL = "original"
KEPT = ("acc_retain", "acc_clean")  # the accuracy on retained test images, by scenario

Placed = Sequence[tuple[PlacedRow, Selection]]


def leaderboard(tables: Sequence[tuple[str, TableEntry, Placed]], store: Store) -> Leaderboard:
    """Returns the leaderboard of one or several tables, of the methods whose runs are done in all of them.

    The gap of a block is the mean over metrics of |mean of the method − mean of the retrained models|, each divided by
    the typical difference of two retrained models. Blocks are the seeds of each table; with one seed, the forget sets.

    Args:
        tables: name, entry and rows of each table.
        store: the database.

    Raises:
        MissingRunError: a table has retrained models of fewer than two seeds, or the tables share no complete method.
        OptionError: two tables are of one experiment, whose runs would count twice.
    """
    parts = _parts(tables, store)
    common = [label for label in parts[0].rows if all(label in part.rows for part in parts)]
    own = [label for label in common if not parts[0].rows[label].is_reference]
    if not own:
        raise MissingRunError(_no_method(tables))
    standings = {label: _joined([part.rows[label] for part in parts], many=len(parts) > 1) for label in common}
    ranking = rank({label: standings[label].by_block for label in own})
    ordered = [label for label in common if label not in own] + sorted(own, key=lambda label: ranking.means[label])
    left = sorted({label for part in parts for label in part.rows} - set(common))
    notes = [note for part in parts for note in part.notes]
    if left:
        notes.append(f"Left out, because a table lacks runs of it: {', '.join(left)}.")
    return Leaderboard(tuple(standings[label] for label in ordered), ranking, tuple(dict.fromkeys(notes)))


@dataclass(frozen=True)
class _Part:
    """The rows of one experiment, and notes on it."""

    rows: Mapping[str, Standing]
    notes: tuple[str, ...]


def _no_method(tables: Sequence[tuple[str, TableEntry, Placed]]) -> str:
    """Returns a sentence on tables in which no method has all its runs."""
    named = _named([name for name, _, _ in tables])
    name, entry, placed = tables[0]
    if all(row.method in (ORIGINAL, RETRAINED) for row in entry.full_rows):
        return f"{named} has no method to rank. Give another table."
    seeds = "".join(f" --seed {seed}" for seed in placed[0][1].seeds)
    return (
        f"No method has all its runs in {named}. Make them with: unlearn-bench reproduce --table {name}"
        f"{words_of(placed[0][1])}{seeds}"
    )


def _parts(tables: Sequence[tuple[str, TableEntry, Placed]], store: Store) -> list[_Part]:
    seen: dict[str, str] = {}
    parts = []
    for name, entry, placed in tables:
        for selection, rows in by_selection(placed):
            key = selection.experiment.key
            if key in seen:
                raise OptionError(
                    f"{_named(list(dict.fromkeys([seen[key], name])))} contain the same runs, which would "
                    "count twice. Give only one of these tables."
                )
            seen[key] = name
            parts.append(_part(name, entry, selection, rows, store))
    return parts


def _part(name: str, entry: TableEntry, selection: Selection, rows: Sequence[PlacedRow], store: Store) -> _Part:
    methods, metrics = store.methods(), store.metrics()
    recorded = comparable_runs(selection.experiment.key, store)
    retrained = _complete(retrained_values(recorded, selection), selection)
    notes, guesses = [_heading(name, selection, retrained)], []
    units: dict[str, float] = {}
    for metric in entry.metrics:
        typical = noise_floor(retrained, metric, selection.forget, words_of(selection)).typical
        unit = metrics[metric].unit if metric in metrics else ""
        units[metric] = typical or STEP.get(unit, STEP[""])
        if not typical:
            step = f"{units[metric]:g} {unit}".strip()
            notes.append(f"All retrained models have the same {_label(metrics, metric)}, so its unit is {step}.")
    reference = list(runs_of_row(recorded, PlacedRow(method=RETRAINED), selection).values())
    measured = _Measured(name, selection, units, retrained, cost_of(reference), len(selection.seeds) > 1)
    found: dict[str, Standing] = {}
    for row in rows:
        runs = list(runs_of_row(recorded, row, selection).values())
        if {(run.forget, run.seed) for run in runs if run.status == "done"} != set(selection.configurations):
            continue
        is_reference = row.method in methods and methods[row.method].is_reference
        label = _unique(label_of(row, methods), found)
        readable = [metric for metric in units if can_compare(metric, runs) and can_compare(metric, reference)]
        if len(readable) < sum(can_compare(metric, ()) for metric in units):
            guesses.append(label)
        found[label] = measured.standing(label, is_reference, row.method == RETRAINED, runs, readable, metrics)
    if guesses:
        notes.append(
            f"MIA is left out of the mean gap of {', '.join(guesses)}: the attack on these models only guesses."
        )
    return _Part(found, tuple(notes))


def _complete(retrained: Values, selection: Selection) -> Values:
    """Returns the values of the seeds that have all forget sets, of which alone the noise floor is computed."""
    seeds = {seed for _, seed in retrained}
    whole = {seed for seed in seeds if all((forget, seed) in retrained for forget in selection.forget)}
    return {pair: values for pair, values in retrained.items() if pair[1] in whole}


def _heading(name: str, selection: Selection, retrained: Values) -> str:
    """Returns a sentence on what a table measures, and on the retrained models that its gaps refer to."""
    experiment = selection.experiment
    return (
        f"Table {name}: {experiment.dataset}, scenario {experiment.scenario}, profile {selection.profile}; forget sets "
        f"{', '.join(selection.forget)}; seeds {_listed(selection.seeds)}. The retrained models of mean and unit "
        f"have the seeds {_listed(sorted({seed for _, seed in retrained}))}."
    )


@dataclass(frozen=True)
class _Measured:
    """What the gaps of one experiment are computed from."""

    table: str
    selection: Selection
    units: Mapping[str, float]
    retrained: Values
    retrained_cost: Cost | None
    by_seeds: bool

    def standing(
        self,
        label: str,
        is_reference: bool,
        is_retrained: bool,
        runs: Sequence[RunRecord],
        readable: Sequence[str],
        metrics: Mapping[str, MetricRecord],
    ) -> Standing:
        values = values_of(runs)
        blocks: dict[str, list[Configuration]] = {}
        for forget, seed in self.selection.configurations:
            block = f"seed {seed}" if self.by_seeds else f"{FORGET_SET} {forget}"
            blocks.setdefault(f"table {self.table}, {block}", []).append((forget, seed))
        by_metric = {
            metric: {name: self._difference(values, metric, block, is_retrained) for name, block in blocks.items()}
            for metric in readable
        }
        by_block = {name: statistics.fmean(abs(by_metric[metric][name]) for metric in readable) for name in blocks}
        largest = max(readable, key=lambda metric: abs(statistics.fmean(by_metric[metric].values())))
        kept = next((metric for metric in KEPT if metric in self.units), None)
        seeds, cost = self.selection.seeds, cost_of(runs)
        return Standing(
            label,
            is_reference,
            by_block,
            dict(zip(seeds, by_block.values(), strict=True))
            if self.by_seeds
            else {seeds[0]: statistics.fmean(by_block.values())},
            (_label(metrics, largest), abs(statistics.fmean(by_metric[largest].values()))),
            None if kept is None else statistics.fmean(by_metric[kept].values()) * self.units[kept],
            cost.images / self.retrained_cost.images
            if cost and self.retrained_cost and self.retrained_cost.images
            else None,
        )

    def _difference(self, values: Values, metric: str, block: Sequence[Configuration], is_retrained: bool) -> float:
        """Returns the mean of a block minus that of the retrained models of all seeds, or of all others."""
        left_out = {seed for _, seed in block} if is_retrained else set()
        differences = []
        for forget, seed in block:
            theirs = [
                each[metric]
                for (name, other), each in self.retrained.items()
                if name == forget and other not in left_out
            ]
            differences.append(values[forget, seed][metric] - statistics.fmean(theirs))
        return statistics.fmean(differences) / self.units[metric]


def _joined(standings: Sequence[Standing], *, many: bool) -> Standing:
    """Returns one row from those of several tables."""
    if not many:
        return standings[0]
    seeds = [seed for seed in standings[0].by_seed if all(seed in each.by_seed for each in standings)]
    return replace(
        standings[0],
        by_block={name: gap for each in standings for name, gap in each.by_block.items()},
        by_seed={seed: statistics.fmean(each.by_seed[seed] for each in standings) for seed in seeds},
        largest=max((each.largest for each in standings), key=lambda each: each[1]),
        kept=_mean([each.kept for each in standings]),
        cost=_mean([each.cost for each in standings]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds))


def _label(metrics: Mapping[str, MetricRecord], name: str) -> str:
    return metrics[name].label if name in metrics else name


def _unique(label: str, taken: Mapping[str, Any]) -> str:
    number = 1 + sum(name == label or name.startswith(f"{label} (row ") for name in taken)
    return label if number == 1 else f"{label} (row {number})"


def _named(tables: Sequence[str]) -> str:
    return f"Table{'s' if len(tables) > 1 else ''} {' and '.join(tables)}"
