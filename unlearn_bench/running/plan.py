"""Plans the runs that rows need: reference models first, without the runs that are recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from unlearn_bench.config.benchmarks import Row, Scalar
from unlearn_bench.config.selection import Selection
from unlearn_bench.core.errors import ConfigError, unknown_name
from unlearn_bench.core.forget_words import THEN, sequence_of
from unlearn_bench.core.options import complete, identity
from unlearn_bench.core.spec import RunSpec
from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data.scenarios import scenarios, split_dataset
from unlearn_bench.methods import Method, methods
from unlearn_bench.models import complete_model
from unlearn_bench.running.tasks import Task, measured, revisions_of, version_of
from unlearn_bench.store import Store

ORIGINAL = "original"  # the method from whose weights every approximate method starts


@dataclass(frozen=True)
class Plan:
    """The runs of some rows, in an order in which they can be made.

    Attributes:
        tasks: all runs, references first.
        missing: the runs to make, in the same order.
        with_outputs: whether a run whose features and logits no longer exist counts as missing.
        starts: keys of the runs from whose weights a missing run starts.
        failed: for the runs that failed before and are tried again, the time of the failure by key.
    """

    tasks: tuple[Task, ...]
    missing: tuple[Task, ...]
    with_outputs: bool = False
    starts: frozenset[str] = frozenset()
    failed: Mapping[str, datetime] = field(default_factory=dict)

    def still_missing(self, task: Task, store: Store) -> bool:
        """Returns whether the run is still missing: since the plan, no process has recorded it or its failure."""
        if store.failures([task.spec.key]).get(task.spec.key) != self.failed.get(task.spec.key):
            return False
        if _missing_of([task], store, self.with_outputs):
            return True
        return task.spec.key in self.starts and bool(_lost([task], store))


def check(selection: Selection, rows: Sequence[Row]) -> None:
    """Checks scenario, model, recipe and the options of every row, before any data is read or model trained.

    Model and recipe must state every parameter. They identify an experiment: reports compute the identity without the
    defaults of the code, and a new default must not change it. A parameter that was added in a later version is stated
    only where it differs from its default, because older runs were recorded without it.

    Raises:
        UnknownNameError, OptionError: a name or value does not exist in the code.
        ConfigError: a parameter is left out, or a later parameter is stated with its default.
    """
    scenario = scenarios.get(selection.experiment.scenario)
    stated = {
        "model": (selection.experiment.model, complete_model(selection.experiment.model)),
        "recipe": _stated(selection.experiment.recipe, methods.get(ORIGINAL).function, "recipe"),
        f"scenarios.{scenario.name}": _stated(
            selection.experiment.scenario_options, scenario.function, f"scenario '{scenario.name}'"
        ),
    }
    for part, (options, parameters) in stated.items():
        left_out = parameters.keys() - options.keys()
        if left_out:
            raise ConfigError(
                f"benchmarks.yaml: profiles.{selection.profile}.{part} leaves out {', '.join(sorted(left_out))}. State "
                f"every parameter, such as {', '.join(f'{name}: {parameters[name]}' for name in sorted(left_out))}."
            )
        if usual := sorted(options.keys() - parameters.keys()):
            raise ConfigError(
                f"benchmarks.yaml: profiles.{selection.profile}.{part} states the default of {', '.join(usual)}. Older "
                "runs were recorded without it. Leave it out."
            )
    for row in rows:
        resolve(selection, row)


def _stated(options: dict[str, Any], function: Callable[..., Any], owner: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return options, identity(function, complete(function, options, owner))


def make_plan(
    selection: Selection,
    rows: Sequence[Row],
    dataset: Dataset,
    store: Store,
    *,
    with_outputs: bool = False,
    requested: Sequence[str] = (),
) -> Plan:
    """Returns the plan of ``rows`` for every configuration of the selection, with the original models that they need.

    A sequence of forget requests has a run after each request. With ``with_outputs``, a run whose features and logits
    no longer exist counts as missing. So does a run without the value of a metric, also of one that is ``requested``.

    Raises:
        UnknownNameError, OptionError, DataError: a method, option or forget set does not exist.
    """
    original = methods.get(ORIGINAL)
    if any(not methods.get(row.method).from_scratch for row in rows):
        rows = [Row(method=ORIGINAL), *rows]
    resolved = [(methods.get(row.method), resolve(selection, row)) for row in rows]
    tasks: dict[str, Task] = {}
    splits: dict[str, ForgetSplit] = {}
    experiment, revisions = selection.experiment, revisions_of(selection.experiment)

    def task(method: Method, options: dict[str, Any], words: str, seed: int, start: Task | None) -> Task:
        spec = RunSpec(
            experiment=experiment,
            forget=splits[words].name,
            method=method.name,
            version=version_of(method, experiment),
            options=options,
            seed=seed,
            dataset_digest=dataset.digest,
            forget_digest=splits[words].digest,
            revisions=revisions,
        )
        return Task(spec, selection.profile, start, selection.pinned, selection.pretrained, words, tuple(requested))

    for forget, seed in selection.configurations:
        latest: dict[int, Task] = {}  # by index in ``resolved``, the run after the previous request
        for step in sequence_of(forget):
            splits[step] = split_dataset(dataset, experiment.scenario, step, experiment.scenario_options)
            first = task(original, resolve(selection, Row(method=ORIGINAL)), step, seed, None)
            for index, (method, options) in enumerate(resolved):
                start = None if method.from_scratch else latest.get(index, first)
                latest[index] = new = task(method, options, step, seed, start)
                tasks[new.spec.key] = new
    # a stable sort: references, then the runs that start from them, then the runs after each later request
    ordered = sorted(tasks.values(), key=lambda task: (not task.method.from_scratch, task.spec.forget.count(THEN)))
    missing = _missing_of(ordered, store, with_outputs)
    starts: dict[str, str] = {}  # by model key, the first run that makes that model
    while origins := {
        task.start.model_key: task.start
        for task in reversed(missing)
        if task.start and task.start.model_key not in starts
    }:  # a run that starts from lost weights makes their run missing, which may start from lost weights in turn
        starts |= {key: origin.spec.key for key, origin in origins.items()}
        to_make = {task.spec.key for task in missing} | _lost(list(origins.values()), store)
        missing = [task for task in ordered if task.spec.key in to_make]
    failed = store.failures([task.spec.key for task in missing])
    return Plan(tuple(ordered), tuple(missing), with_outputs, frozenset(starts.values()), failed)


def _lost(tasks: Sequence[Task], store: Store) -> set[str]:
    """Returns the keys of the runs that are done but whose weights no longer exist."""
    finished = store.finished([task.spec.key for task in tasks])
    weights = store.with_weights([task.model_key for task in tasks])
    done = {key for key, (status, _) in finished.items() if status == "done"}
    return {task.spec.key for task in tasks if task.spec.key in done and task.model_key not in weights}


def _missing_of(tasks: Sequence[Task], store: Store, with_outputs: bool) -> list[Task]:
    """Returns the tasks of one experiment to make: neither done nor diverged, or done without the value of a metric."""
    finished = store.finished([task.spec.key for task in tasks])
    intact = store.with_outputs(list(finished)) if with_outputs else set()
    current = {(metric.name, metric.revision) for metric in measured(tasks[0])} if tasks else set()

    def is_missing(task: Task) -> bool:
        status, recorded = finished.get(task.spec.key, ("failed", set()))
        if status == "done" and with_outputs and task.spec.key not in intact:
            return True
        return status != "diverged" and not current <= recorded

    return [task for task in tasks if is_missing(task)]


def resolve(selection: Selection, row: Row) -> dict[str, Any]:
    """Returns all options of a row: the row's, else the recipe's (for references) or the profile's, else the defaults.

    Options that were added in a later version are included only where they differ from their defaults.

    Raises:
        UnknownNameError, OptionError: see :func:`unlearn_bench.core.options.complete`.
    """
    method = methods.get(row.method)
    base: dict[str, Any] = dict(selection.experiment.recipe) if method.from_scratch else {}
    options = complete(method.function, {**base, **selection.overrides(row)}, f"method '{row.method}'")
    return identity(method.function, options)


def with_preset(method: Method, preset: str | None, options: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Returns the options of the method's preset, overridden by ``options``.

    Raises:
        UnknownNameError: the method has no preset of that name.
    """
    if preset is None:
        return dict(options)
    if preset not in method.presets:
        raise unknown_name(f"preset of {method.name}", preset, method.presets)
    return {**method.presets[preset], **options}
