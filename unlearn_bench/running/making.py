"""Makes and records the runs that rows, tables or figures still need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from unlearn_bench.config.benchmarks import FigureEntry, Measured, Row, TableEntry
from unlearn_bench.config.selection import PlacedRow, Selection
from unlearn_bench.core.options import complete, identity
from unlearn_bench.data import Dataset
from unlearn_bench.data.loading import data_folder, load
from unlearn_bench.methods import methods
from unlearn_bench.metrics import metrics, requested
from unlearn_bench.report.bench import Bench
from unlearn_bench.running.executors.local import execute
from unlearn_bench.running.memory import choose_workers
from unlearn_bench.running.plan import check, make_plan, with_preset
from unlearn_bench.running.pretrained import check_network
from unlearn_bench.store.health import tidy
from unlearn_bench.store.records import Status
from unlearn_bench.training.devices import bfloat16_slowdown, choose_device

SLOW = 2.0  # bfloat16 that takes this many times as long as float32 is mentioned


@dataclass(frozen=True)
class ExecutionConfig:
    """Where and how runs are made.

    Attributes:
        data: folder of data sets; None for the default.
        download: whether to download a missing data set.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``.
        workers: number of runs at the same time; None for what cores and memory of a CPU allow, else 1.
        progress: called at every step with (task, done, total).
        say: called with one line for every run that ends.
    """

    data: Path | None
    download: bool
    device: str
    workers: int | None
    progress: Callable[[str, int, int], None]
    say: Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """The result of making runs.

    Attributes:
        runs: keys of all runs that the rows need.
        made: statuses of the runs made now.
        failures: number of runs that are not done.
    """

    runs: tuple[str, ...]
    made: tuple[Status, ...]
    failures: int


@dataclass(frozen=True)
class _Group:
    """Rows with the same configurations, and the metrics of their tables."""

    selection: Selection
    rows: list[Row]
    wanted: list[str]


def reproduce(
    bench: Bench, entries: Sequence[Measured], config: ExecutionConfig, *, with_outputs: bool = False
) -> Outcome:
    """Makes and records the missing runs of these tables and figures, and the ``retrained`` runs for their gaps.

    With ``with_outputs``, as for a figure of features, a run whose features and logits no longer exist is missing.

    Raises:
        UserError: see :func:`make_runs`; also if a metric does not exist.
    """
    groups: list[_Group] = []
    needs_outputs = with_outputs
    for entry in entries:
        columns = [metrics.get(name) for name in entry.metrics]
        placed = bench.requested_rows(entry)
        needs_outputs |= isinstance(entry, FigureEntry) and entry.kind == "features"
        if isinstance(entry, TableEntry) and entry.plugins:
            plugins = [PlacedRow(method=method.name) for method in methods if method.origin]
            placed += [(row, bench.selection_of(entry)) for row in plugins]
        for row, selection in placed:
            group = next((group for group in groups if group.selection == selection), None)
            if group is None:
                groups.append(group := _Group(selection, [Row(method="retrained")], []))
            group.rows.append(row)
            group.wanted.extend(column.name for column in columns if column.on_request)
    outcomes = [
        make_runs(
            replace(bench, selection=group.selection),
            group.rows,
            config,
            with_outputs=needs_outputs,
            wanted=group.wanted,
        )
        for group in groups
    ]
    return Outcome(
        runs=tuple(run for outcome in outcomes for run in outcome.runs),
        made=tuple(status for outcome in outcomes for status in outcome.made),
        failures=sum(outcome.failures for outcome in outcomes),
    )


def with_method(
    bench: Bench, method: str, preset: str | None = None, options: Mapping[str, Any] | None = None
) -> tuple[Bench, Row]:
    """Returns the bench and the row of one method, with the options of a preset overridden by ``options``.

    The options of a reference change the recipe, and so the experiment: all its models are trained anew.

    Raises:
        UnknownNameError, OptionError: there is no such method, preset or option, or a value is out of range.
    """
    entry = methods.get(method)
    chosen = with_preset(entry, preset, options or {})
    checked = complete(entry.function, chosen, f"method '{method}'")
    stated = {name: checked[name] for name in chosen}
    if not entry.from_scratch:
        return bench, Row(method=method, options=stated)
    experiment = bench.selection.experiment
    recipe = identity(entry.function, {**experiment.recipe, **stated})
    experiment = replace(experiment, recipe=recipe)
    return replace(bench, selection=replace(bench.selection, experiment=experiment)), Row(method=method)


def make_runs(
    bench: Bench,
    rows: Sequence[Row],
    config: ExecutionConfig,
    *,
    with_outputs: bool = False,
    dataset: Dataset | None = None,
    wanted: Sequence[str] = (),
) -> Outcome:
    """Makes and records the missing runs of ``rows``, references first.

    With ``with_outputs``, a run whose features and logits no longer exist counts as missing. ``dataset`` are the images
    of the bench if they are read already. The runs get the metrics on request among ``wanted`` in addition; a recorded
    run gets them from its outputs and is not made again.

    Raises:
        UserError: a name, option, forget set or data set does not exist, or a metric has no value in the scenario;
            nothing is recorded.
    """
    selection = bench.selection
    check(selection, rows)
    names = requested(wanted, selection.experiment.scenario)
    device = choose_device(config.device)
    dataset = images_of(bench, config) if dataset is None else dataset
    plan = make_plan(selection, rows, dataset, bench.store, with_outputs=with_outputs, requested=names)
    workers = choose_workers(plan.missing, dataset, device, config.workers) if plan.missing else 1
    if plan.missing:
        check_network(selection, dataset, config.say)
        bench.store.model_files.check()  # before hours of training
    tidy(bench.store)
    bench.store.mark_requested([task.spec.key for task in plan.tasks])
    statuses: list[Status | None] = []

    def finished(title: str, status: Status | None, error: str | None) -> None:
        statuses.append(status)
        reason = f" ({error})" if error else ""
        config.progress("all runs", len(statuses), len(plan.missing))
        how = status or "already recorded by another process"
        config.say(f"[{len(statuses)}/{len(plan.missing)}] {title}: {how}{reason}")

    if plan.missing:
        if selection.experiment.precision == "bfloat16" and device.type == "cpu":
            _name_slow_bfloat16(config.say)
        config.progress("all runs", 0, len(plan.missing))
        execute(
            plan.missing,
            store=bench.store,
            dataset=dataset,
            device=device,
            workers=workers,
            missing=partial(plan.still_missing, store=bench.store),
            progress=config.progress,
            say=config.say,
            finished=finished,
        )
    runs = tuple(task.spec.key for task in plan.tasks)
    ended = bench.store.finished(runs)
    done = sum(key in ended and ended[key][0] == "done" for key in runs)
    made = tuple(status for status in statuses if status is not None)
    return Outcome(runs, made, len(runs) - done)


def images_of(bench: Bench, config: ExecutionConfig) -> Dataset:
    """Returns the images of the selected experiment.

    Raises:
        DataError, UnknownNameError: see :func:`unlearn_bench.data.loading.load`.
    """
    experiment = bench.selection.experiment
    dataset = load(
        bench.selection.source,
        folder=data_folder(bench.benchmarks.home, config.data),
        train_per_class=experiment.train_per_class,
        test_per_class=experiment.test_per_class,
        download=config.download,
        progress=config.progress,
        reading=bench.selection.reading,
    )
    # no trial can read the test images, whatever its method does
    return dataset.without_test() if experiment.is_trial else dataset


def _name_slow_bfloat16(say: Callable[[str], None]) -> None:
    if (slowdown := bfloat16_slowdown()) > SLOW:
        say(
            f"A convolution in bfloat16 takes {slowdown:.0f} times as long as in float32 on this processor. "
            "To train faster, stop this command and add --precision float32."
        )
