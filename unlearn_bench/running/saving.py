"""Where the progress of long trainings is saved, and how often."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import torch

from unlearn_bench import __version__
from unlearn_bench.core.errors import OptionError
from unlearn_bench.running.guards import Guard
from unlearn_bench.running.tasks import Task
from unlearn_bench.store import Store
from unlearn_bench.store.trainings import TrainingFile
from unlearn_bench.training.devices import describe_device, machine
from unlearn_bench.training.monitor import RunMonitor
from unlearn_bench.training.resume import SAVE_SECONDS, SavedTraining

VARIABLE = "UNLEARN_BENCH_SAVE_SECONDS"


def saved_training(
    task: Task, store: Store, device: torch.device, monitor: RunMonitor, guard: Guard
) -> SavedTraining | None:
    """Returns the saved training of a run that trains from scratch; None for other runs, which take less time.

    Raises:
        OptionError: the variable UNLEARN_BENCH_SAVE_SECONDS is not a number of seconds.
    """
    if not task.method.from_scratch:
        return None
    return SavedTraining(training_file(task, store, device), monitor, guard, seconds_between())


def training_file(task: Task, store: Store, device: torch.device) -> TrainingFile:
    """Returns the file of a run's training in progress; only a process with all these properties goes on from it."""
    made_with = {
        "unlearn-bench": __version__,
        "torch": torch.__version__,
        "machine": machine(),
        "device": describe_device(device),
        "threads": str(task.spec.experiment.threads),
    }
    return TrainingFile(store.models_folder, task.model_key, task.title, made_with)


def seconds_between() -> float:
    """Returns the least number of seconds between two saved states: that of the environment, else the default."""
    text = os.environ.get(VARIABLE, "")
    try:
        seconds = float(text or SAVE_SECONDS)
        if not seconds >= 0:
            raise ValueError
    except ValueError:
        raise OptionError(f"{VARIABLE} is '{text}', expected a number of seconds such as {SAVE_SECONDS:g}.") from None
    return seconds


def tell_saved(tasks: Iterable[Task], store: Store, device: torch.device, say: Callable[[str], None]) -> None:
    """Says from which steps the trainings that are interrupted now will go on."""
    for task in tasks:
        saved = training_file(task, store, device).header()
        if saved is not None:
            say(f"{task.title}: saved at step {saved.step:,} of {saved.steps:,}; the same command goes on from there.")
