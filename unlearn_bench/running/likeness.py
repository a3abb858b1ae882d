"""Computes the likeness of recorded models to retrained ones, from their outputs. It trains nothing."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from unlearn_bench.config.selection import Selection
from unlearn_bench.core.errors import CheckpointError, DataError, PluginError, UnmeasurableError, UserError, reason_of
from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data.scenarios import split_dataset
from unlearn_bench.metrics.comparisons import Comparison, comparisons_of
from unlearn_bench.models.outputs import ModelOutputs
from unlearn_bench.report.bench import Bench
from unlearn_bench.report.likeness import Pair, compared_rows
from unlearn_bench.report.notes import user_options
from unlearn_bench.report.tables import by_selection
from unlearn_bench.running.making import ExecutionConfig, images_of
from unlearn_bench.running.outputs import recorded_outputs
from unlearn_bench.store import Store
from unlearn_bench.store.likeness import comparison_records, likeness_of, record_likeness
from unlearn_bench.store.records import ComparisonRecord, RunRecord
from unlearn_bench.training.devices import choose_device
from unlearn_bench.training.isolation import isolated, threads


@dataclass(frozen=True)
class Compared:
    """The result of comparing models.

    Attributes:
        pairs: number of pairs of models.
        made: number of pairs that were compared now.
        missing: number of pairs that lack a score, because a model is lost.
        lost: a sentence for each lost model.
    """

    pairs: int
    made: int
    missing: int
    lost: tuple[str, ...]


@dataclass(frozen=True)
class _Job:
    """The scores that a pair of runs lacks."""

    pair: Pair
    scores: tuple[Comparison, ...]


def compare(bench: Bench, table: str, config: ExecutionConfig) -> Compared:
    """Computes and records the scores of likeness that a table lacks, for its done runs.

    Outputs are read from their files, or computed from the checkpoint. At most two models' outputs are in memory.

    Raises:
        MissingRunError: a configuration has no retrained run; nothing is computed.
        DataError: the images are not those of the recorded runs.
        PluginError: a score of a plug-in fails; the pairs before it are recorded.
    """
    entry = bench.benchmarks.table(table)
    device = choose_device(config.device)
    requested = [selection for selection, _ in by_selection(bench.requested_rows(entry))]
    requested.append(bench.selection_of(entry))  # that of rows for plug-in methods
    groups = [
        (selection, [pair for row in compared_rows(selection, rows, bench.store) for pair in row.pairs])
        for selection, rows in by_selection(bench.placed(entry))
    ]
    wanted, made, lost = 0, 0, dict[str, None]()
    for selection, pairs in groups:
        jobs = _missing(pairs, comparisons_of(selection.experiment.scenario), bench.store)
        wanted += len(jobs)
        if jobs:
            written = next(each for each in requested if bench.as_recorded(each) == selection)
            dataset = images_of(replace(bench, selection=written), config).to(device)
            splits = _splits(written, dataset)
            with threads(selection.experiment.threads):
                count, reasons = _compare_all(jobs, dataset, splits, bench.store, config)
            again = f"unlearn-bench reproduce --table {table} --outputs --profile {selection.profile}"
            again += user_options(selection)
            lost.update({f"{reason} Make it again with: {again}": None for reason in reasons})
            made += count
    number = len({pair.keys for _, pairs in groups for pair in pairs})
    return Compared(number, made, wanted - made, tuple(lost))


def _missing(pairs: Sequence[Pair], scores: Sequence[Comparison], store: Store) -> list[_Job]:
    """Returns what to compute, in the order of the references."""
    versions = {name: record.version for name, record in comparison_records(store).items()}
    recorded = likeness_of(store, sorted({pair.run.key for pair in pairs}))
    jobs: dict[str, list[_Job]] = defaultdict(list)
    for pair in {pair.keys: pair for pair in pairs}.values():
        known = recorded.get(pair.keys, {})
        lacking = tuple(s for s in scores if s.name not in known or versions[s.name] != s.revision)
        if lacking:
            jobs[pair.reference.key].append(_Job(pair, lacking))
    return [job for own in jobs.values() for job in own]


def _splits(selection: Selection, dataset: Dataset) -> dict[str, ForgetSplit]:
    """Returns the forget sets of a selection by their recorded names."""
    experiment = selection.experiment
    splits = [
        split_dataset(dataset, experiment.scenario, words, experiment.scenario_options) for words in selection.forget
    ]
    return {split.name: split for split in splits}


def _compare_all(
    jobs: Sequence[_Job], dataset: Dataset, splits: Mapping[str, ForgetSplit], store: Store, config: ExecutionConfig
) -> tuple[int, list[str]]:
    """Computes and records; returns the number of pairs, and why the others could not be compared."""
    made, lost, loaded = 0, list[str](), dict[str, ModelOutputs | None]()  # loaded: the reference of the jobs at hand
    for count, job in enumerate(jobs):
        config.progress("likeness", count, len(jobs))
        reference, split = job.pair.reference, splits[job.pair.reference.forget]
        if reference.key not in loaded:
            loaded.clear()  # before the next one is read
            _check_images(reference, dataset, split)
            loaded[reference.key] = _read(reference, dataset, split, store, lost)
        retrained = loaded[reference.key]
        outputs = _read(job.pair.run, dataset, split, store, lost) if retrained else None
        if retrained and outputs:
            scores = [ComparisonRecord(s.name, s.label, s.unit, s.best, s.source, s.revision) for s in job.scores]
            record_likeness(store, job.pair.keys, scores, _values(job.scores, outputs, retrained))
            made += 1
        del outputs  # before the next one is read
    config.progress("likeness", len(jobs), len(jobs))
    return made, lost


def _values(scores: Sequence[Comparison], outputs: ModelOutputs, retrained: ModelOutputs) -> dict[str, float | None]:
    """Returns the value of each score; None where it has none for these models.

    A score of a plug-in gets copies, so that in-place changes do not affect the scores after it.
    """
    values: dict[str, float | None] = {}
    for score in scores:
        models = copy.deepcopy((outputs, retrained)) if score.origin else (outputs, retrained)
        try:
            with isolated():
                value = float(score.function(*models))
            if not math.isfinite(value):
                raise ValueError(f"the value is {value}")
        except UnmeasurableError:
            values[score.name] = None
            continue
        except (Exception, SystemExit) as problem:
            if not score.origin or isinstance(problem, UserError):
                raise
            reason = reason_of(problem, with_type=True)
            raise PluginError(f"The score {score.name} of {score.origin} fails: {reason}. Correct it.") from problem
        values[score.name] = value
    return values


def _read(run: RunRecord, dataset: Dataset, split: ForgetSplit, store: Store, lost: list[str]) -> ModelOutputs | None:
    try:
        return recorded_outputs(run, dataset, split, store)
    except CheckpointError:
        lost.append(f"The outputs and the weights of run {run.id} ({_title(run)}) no longer exist.")
        return None


def _check_images(run: RunRecord, dataset: Dataset, split: ForgetSplit) -> None:
    """Checks that the images are those of a recorded run. Raises DataError."""
    here, there = (dataset.digest, split.digest), (run.dataset_digest, run.spec["forget_digest"])
    if here != there:
        raise DataError(
            f"The images of {dataset.name}, forget {split.name}, are not those of run {run.id} ({_title(run)}). Give "
            "the folder of the recorded images with --data, or make the runs again with: unlearn-bench reproduce"
        )


def _title(run: RunRecord) -> str:
    return f"{run.method}, forget {run.forget}, seed {run.seed}"
