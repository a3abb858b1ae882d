"""Likeness to retrained: scores that compare the models of a table with the retrained models, from the database."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from unlearn_bench.config.benchmarks import Row
from unlearn_bench.config.selection import Placed, Selection
from unlearn_bench.core.errors import MissingRunError
from unlearn_bench.report.cheat_audit import ORIGINAL
from unlearn_bench.report.notes import (
    ONE_SEED,
    Configuration,
    missing_reference,
    origins,
    own_inputs,
    provenance,
    shortfalls,
    stand_ins,
    user_options,
    words_of,
)
from unlearn_bench.report.tables import RETRAINED, by_selection, comparable_runs, label_of, runs_of_row
from unlearn_bench.store import Store
from unlearn_bench.store.likeness import Values, comparison_records, likeness_of
from unlearn_bench.store.records import ComparisonRecord, RunRecord

OTHER_SEED = "Retrained, another seed"
LEGEND = (
    "Each score compares a model with the model retrained on the same forget set and seed, image by image. Behind the "
    "arrow is the value of equal models. Mean ± standard deviation over configurations. k/n: only k of n "
    f"configurations have a value. {OTHER_SEED}: two models that never saw D_f, as alike as can be expected. "
    "Original: nothing is forgotten."
)


@dataclass(frozen=True)
class Pair:
    """A run and the retrained run that its model is compared with; both are done."""

    run: RunRecord
    reference: RunRecord

    @property
    def keys(self) -> tuple[str, str]:
        """The keys of the two runs."""
        return self.run.key, self.reference.key


@dataclass(frozen=True)
class ComparedRow:
    """A row of models that are compared with retrained ones.

    Attributes:
        label: what the row is called.
        pairs: one for each configuration whose run is done.
        expected: number of configurations.
        runs: by configuration, the runs of the row, done or not.
        row: the row of the table; None for retrained models of another seed.
    """

    label: str
    pairs: tuple[Pair, ...]
    expected: int
    runs: Mapping[Configuration, RunRecord]
    row: Row | None = None


def compared_rows(selection: Selection, rows: Sequence[Row], store: Store) -> list[ComparedRow]:
    """Returns what is compared for the rows of a table that have the same configurations.

    The first rows are the original model, also where the table has no such row, and retrained models of another seed.
    Of the recorded seeds, the other seed is the next one, and the first one after the last.

    Raises:
        MissingRunError: a configuration has no retrained run.
    """
    recorded = comparable_runs(selection.experiment.key, store)
    reference = runs_of_row(recorded, Row(method=RETRAINED), selection)
    lacking = [name for name in selection.configurations if name not in reference or reference[name].status != "done"]
    if lacking:
        raise MissingRunError(missing_reference(selection, lacking))
    methods, expected = store.methods(), len(selection.configurations)
    originals = [row for row in rows if row.method == ORIGINAL] or [Row(method=ORIGINAL)]
    compared = []
    for row in (*originals, *(row for row in rows if row.method not in (ORIGINAL, RETRAINED))):
        runs = runs_of_row(recorded, row, selection)
        pairs = tuple(Pair(run, reference[name]) for name, run in runs.items() if run.status == "done")
        compared.append(ComparedRow(label_of(row, methods), pairs, expected, runs, row))
    others = _of_another_seed(recorded, reference, selection)
    pairs = tuple(Pair(run, reference[name]) for name, run in others.items())
    compared.insert(len(originals), ComparedRow(OTHER_SEED, pairs, expected, others))
    return compared


def _of_another_seed(
    recorded: Sequence[RunRecord], reference: Mapping[Configuration, RunRecord], selection: Selection
) -> dict[Configuration, RunRecord]:
    """Returns, by configuration, the retrained run of the next recorded seed, where there is one."""
    seeds = tuple(sorted({run.seed for run in recorded if run.method == RETRAINED}))
    every = runs_of_row(recorded, Row(method=RETRAINED), replace(selection, seeds=seeds))
    others = {}
    for forget, seed in reference:
        done = [s for (name, s), run in every.items() if (name, run.status) == (forget, "done") and s != seed]
        if done:
            others[forget, seed] = every[forget, min(done, key=lambda s: (s < seed, s))]
    return others


def describe_likeness(name: str, placed: Placed, store: Store) -> tuple[list[str], list[list[str]], list[str]]:
    """Returns header, body and notes of a table with a row per method and a column per recorded score of likeness.

    Args:
        name: name of the table in benchmarks.yaml.
        placed: its rows, each with its configurations.
        store: the database.

    Raises:
        MissingRunError: a configuration has no retrained run, or no score is recorded.
    """
    groups = [(selection, compared_rows(selection, rows, store)) for selection, rows in by_selection(placed)]
    pairs = [pair for _, rows in groups for row in rows for pair in row.pairs]
    values = likeness_of(store, sorted({pair.run.key for pair in pairs}))
    named = {score for pair in pairs for score in values.get(pair.keys, {})}
    scores = [record for score, record in sorted(comparison_records(store).items()) if score in named]
    words = f"--table {name} --profile {placed[0][1].profile}{user_options(placed[0][1])}"
    if not scores:
        raise MissingRunError(
            f"No likeness to retrained is recorded for table {name}. Compute it with: unlearn-bench compare {words}"
        )
    body, notes, methods = [], [LEGEND], store.methods()
    for selection, rows in groups:
        where = f", {selection.dataset_label}" if len(groups) > 1 else ""
        for row in rows:
            own = [values.get(pair.keys, {}) for pair in row.pairs]
            label = row.label if row.row else f"{row.label}{where}"
            body.append([label, *(_cell(own, score, row.expected) for score in scores)])
        listed = [(row.row, dict(row.runs)) for row in rows if row.row]
        runs = [run for row in rows for pair in row.pairs for run in (pair.run, pair.reference)]
        made = provenance(selection, runs) if runs else []
        notes += [*_noise_note(selection, rows), *(note for note in made if note != ONE_SEED)]  # there are no marks
        notes += selection.remarks.values()
        notes += [*origins(runs, methods), *own_inputs(runs, methods)]
        notes += shortfalls(name, [row for row, _ in listed], [runs for _, runs in listed], selection)
    notes += [*stand_ins(placed), *_gaps(pairs, values, scores, words)]
    header = ["Method", *(f"{score.label} {score.unit}".strip() + f" → {score.best:g}" for score in scores)]
    return header, body, list(dict.fromkeys(notes))


def _cell(values: Sequence[Values], score: ComparisonRecord, expected: int) -> str:
    found = [value for by_score in values if (value := by_score.get(score.name)) is not None]
    incomplete = f" {len(found)}/{expected}" if len(found) < expected else ""
    if not found:
        return f"–{incomplete}"
    decimals = 1 if score.unit == "%" else 3
    spread = f"±{statistics.stdev(found):.{decimals}f}" if len(found) > 1 else ""
    return f"{statistics.fmean(found):.{decimals}f}{spread}{incomplete}"


def _noise_note(selection: Selection, rows: Sequence[ComparedRow]) -> list[str]:
    """Returns a note if some configurations have no retrained model of another seed."""
    lacking = next(row.expected - len(row.pairs) for row in rows if row.row is None)
    if not lacking:
        return []
    seed = max(selection.seeds) + 1
    return [
        f"{lacking} of {len(selection.configurations)} configurations have no retrained model of another seed, so it "
        f"is unknown how alike two retrained models are. Make them with: unlearn-bench train{words_of(selection)} "
        f"--seed {seed}, then compare again."
    ]


def _gaps(
    pairs: Sequence[Pair], values: Mapping[tuple[str, str], Values], scores: Sequence[ComparisonRecord], words: str
) -> list[str]:
    """Returns notes on values that are not computed yet, and on those that do not exist."""
    cells = [(values.get(pair.keys, {}), score.name) for pair in pairs for score in scores]
    missing = sum(name not in own for own, name in cells)
    undefined = [name for own, name in cells if name in own and own[name] is None]
    notes = []
    if missing:
        notes.append(f"{missing} values are not computed yet. Compute them with: unlearn-bench compare {words}")
    if undefined:
        names = ", ".join(sorted(set(undefined)))
        notes.append(f"{len(undefined)} values do not exist for their models; `explain` says when ({names}).")
    return notes
