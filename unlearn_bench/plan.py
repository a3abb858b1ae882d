"""From a selection and rows to the runs that they need: references first, minus what is recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from unlearn_bench.config import Row, Scalar
from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data.settings import divide, settings
from unlearn_bench.errors import ConfigError, unknown_name
from unlearn_bench.methods import Method, methods
from unlearn_bench.models import complete_model
from unlearn_bench.options import complete, identity
from unlearn_bench.selection import Selection
from unlearn_bench.spec import THEN, RunSpec, sequence_of
from unlearn_bench.store import Store
from unlearn_bench.tasks import Task, measured, version_of

ORIGINAL = "original"  # the method whose weights every approximate method starts from


@dataclass(frozen=True)
class Plan:
    """The runs of some rows in the order in which they may be made, and those of them that are still to make.

    Attributes:
        tasks: all of them, references first.
        missing: those to make.
        with_outputs: whether a run is missing too whose features and logits are no longer there.
        starts: keys of runs from whose weights a missing one starts.
        failed: when those failed that are to be tried again.
    """

    tasks: tuple[Task, ...]
    missing: tuple[Task, ...]
    with_outputs: bool = False
    starts: frozenset[str] = frozenset()
    failed: Mapping[str, datetime] = field(default_factory=dict)

    def still_missing(self, task: Task, store: Store) -> bool:
        """Returns whether nobody has recorded a missing run since; a failure elsewhere meanwhile counts too."""
        if store.failures([task.spec.key]).get(task.spec.key) != self.failed.get(task.spec.key):
            return False
        if _missing_of([task], store, self.with_outputs):
            return True
        return task.spec.key in self.starts and bool(_lost([task], store))


def check(selection: Selection, rows: Sequence[Row]) -> None:
    """Checks setting, model, recipe and every row's options against the code, before anything is read or trained.

    Model and recipe must state every parameter: they are the identity of an experiment, which reports compute without
    the code's defaults, and which a new default must not change. Parameters that came later are stated where they
    differ from their defaults, and nowhere else.

    Raises:
        UnknownNameError, OptionError: a name or value that the code does not have.
        ConfigError: a parameter that is left out, or one that came later and is stated at its default.
    """
    setting = settings.get(selection.experiment.setting)
    stated = {
        "model": (selection.experiment.model, complete_model(selection.experiment.model)),
        "recipe": _stated(selection.experiment.recipe, methods.get(ORIGINAL).function, "recipe"),
        f"settings.{setting.name}": _stated(
            selection.experiment.setting_options, setting.function, f"setting '{setting.name}'"
        ),
    }
    for part, (given, parameters) in stated.items():
        left_out = parameters.keys() - given.keys()
        if left_out:
            raise ConfigError(
                f"benchmarks.yaml: profiles.{selection.profile}.{part} leaves out {', '.join(sorted(left_out))}. State "
                f"every parameter, such as {', '.join(f'{name}: {parameters[name]}' for name in sorted(left_out))}."
            )
        if usual := sorted(given.keys() - parameters.keys()):
            raise ConfigError(
                f"benchmarks.yaml: profiles.{selection.profile}.{part} states the default of {', '.join(usual)}. Older "
                "runs were recorded without it. Leave it out."
            )
    for row in rows:
        resolve(selection, row)


def _stated(given: dict[str, Any], function: Callable[..., Any], owner: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return given, identity(function, complete(function, given, owner))


def make_plan(
    selection: Selection, rows: Sequence[Row], dataset: Dataset, store: Store, *, with_outputs: bool = False
) -> Plan:
    """Returns the plan of ``rows`` on every configuration of the selection, with the original models they start from.

    Of a sequence of requests, the runs after each of them. With ``with_outputs`` a run is missing too whose features
    and logits are no longer there.

    Raises:
        UnknownNameError, OptionError, DataError: a method, option or forget set that does not exist.
    """
    original = methods.get(ORIGINAL)
    if any(not methods.get(row.method).from_scratch for row in rows):
        rows = [Row(method=ORIGINAL), *rows]
    wanted = [(methods.get(row.method), resolve(selection, row)) for row in rows]
    tasks: dict[str, Task] = {}
    experiment = selection.experiment

    def task(method: Method, options: dict[str, Any], split: ForgetSplit, seed: int, start: Task | None) -> Task:
        spec = RunSpec(
            experiment=experiment,
            forget=split.name,
            method=method.name,
            version=version_of(method, experiment),
            options=options,
            seed=seed,
            dataset_digest=dataset.digest,
            forget_digest=split.digest,
        )
        return Task(spec, selection.profile, start, selection.pinned)

    for forget, seed in selection.configurations:
        latest: dict[int, Task] = {}  # by place in ``wanted``, the run after the request before
        for step in sequence_of(forget):
            split = divide(dataset, experiment.setting, step, experiment.setting_options)
            first = task(original, resolve(selection, Row(method=ORIGINAL)), split, seed, None)
            for place, (method, options) in enumerate(wanted):
                start = None if method.from_scratch else latest.get(place, first)
                latest[place] = made = task(method, options, split, seed, start)
                tasks[made.spec.key] = made
    # stable: references first, then what starts from them, then what starts from that
    ordered = sorted(tasks.values(), key=lambda task: (not task.method.from_scratch, task.spec.forget.count(THEN)))
    missing = _missing_of(ordered, store, with_outputs)
    starts: dict[str, str] = {}  # by model key, the first run that makes it
    while origins := {
        task.start.model_key: task.start
        for task in reversed(missing)
        if task.start and task.start.model_key not in starts
    }:  # what starts from lost weights makes them missing, and those may start from others
        starts |= {key: origin.spec.key for key, origin in origins.items()}
        to_make = {task.spec.key for task in missing} | _lost(list(origins.values()), store)
        missing = [task for task in ordered if task.spec.key in to_make]
    failed = store.failures([task.spec.key for task in missing])
    return Plan(tuple(ordered), tuple(missing), with_outputs, frozenset(starts.values()), failed)


def _lost(tasks: Sequence[Task], store: Store) -> set[str]:
    """Returns the keys of runs that are done and whose weights are no longer there."""
    finished = store.finished([task.spec.key for task in tasks])
    weights = store.with_weights([task.model_key for task in tasks])
    done = {key for key, (status, _) in finished.items() if status == "done"}
    return {task.spec.key for task in tasks if task.spec.key in done and task.model_key not in weights}


def _missing_of(tasks: Sequence[Task], store: Store, with_outputs: bool) -> list[Task]:
    """Returns the tasks of one experiment that are to make: not done, not diverged, or without a metric's value."""
    finished = store.finished([task.spec.key for task in tasks])
    intact = store.with_outputs(list(finished)) if with_outputs else set()
    current = {(metric.name, metric.revision) for metric in measured(tasks[0].spec.experiment)} if tasks else set()

    def is_missing(task: Task) -> bool:
        status, recorded = finished.get(task.spec.key, ("failed", set()))
        if status == "done" and with_outputs and task.spec.key not in intact:
            return True
        return status != "diverged" and not current <= recorded

    return [task for task in tasks if is_missing(task)]


def resolve(selection: Selection, row: Row) -> dict[str, Any]:
    """Returns all options of a row: defaults, over them the recipe (for references) or the profile's, then the row's.

    Options that came later are in it where they differ from their defaults.

    Raises:
        UnknownNameError, OptionError: see :func:`unlearn_bench.options.complete`.
    """
    method = methods.get(row.method)
    base: dict[str, Any] = dict(selection.experiment.recipe) if method.from_scratch else {}
    options = complete(method.function, {**base, **selection.overrides(row)}, f"method '{row.method}'")
    return identity(method.function, options)


def with_preset(method: Method, preset: str | None, given: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Returns the given options over those of the method's preset.

    Raises:
        UnknownNameError: the method has no preset of that name.
    """
    if preset is None:
        return dict(given)
    if preset not in method.presets:
        raise unknown_name(f"preset of {method.name}", preset, method.presets)
    return {**method.presets[preset], **given}
