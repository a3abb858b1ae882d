"""Carries out a plan on this machine: in this process, or in several that share the database.

A run's numbers do not depend on the choice: every run fixes its own threads and seeds.
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from unlearn_bench.data import Dataset
from unlearn_bench.errors import PluginWarning, WorkerError
from unlearn_bench.progress import Progress
from unlearn_bench.registry import load_plugin, plugin_files
from unlearn_bench.runner import Runner
from unlearn_bench.store import Store
from unlearn_bench.store.records import Status
from unlearn_bench.tasks import Task

POLL_SECONDS = 0.1

Finished = Callable[[str, Status, str | None], None]  # title of the run, how it ended, why if not done


@dataclass
class _Schedule:
    """Which tasks may start: those whose start model is made, and whose own weights nobody is making just now."""

    waiting: list[Task]
    store: Store

    def ready(self, running: Sequence[Task]) -> list[Task]:
        """Returns and removes the tasks that may start now."""
        making = {task.model_key for task in running}
        to_come = making | {task.model_key for task in self.waiting}
        chosen: list[Task] = []
        for task in self.waiting:
            if task.model_key not in making and task.start_key not in to_come:
                chosen.append(task)
                making.add(task.model_key)
        self.waiting = [task for task in self.waiting if task not in chosen]
        return chosen


def execute(
    tasks: Sequence[Task],
    *,
    store: Store,
    dataset: Dataset,
    device: torch.device,
    workers: int,
    progress: Progress,
    finished: Finished,
) -> None:
    """Makes and records the runs, as many at a time as there are workers.

    Args:
        tasks: from a plan: start models among them or recorded.
        store: where they are recorded.
        dataset: of all tasks.
        device: of all tasks.
        workers: processes; 1 works in this one. More than one needs the CPU.
        progress: told of every step of every run.
        finished: told of every run that ended.

    Raises:
        UserError: wrong use that only shows in a run.
        WorkerError: a worker process was killed.
    """
    workers = min(workers, len(tasks))
    if workers <= 1:
        runner = Runner(store, dataset, device)
        for task in tasks:
            finished(task.title, *runner.run(task, progress))
        return
    context = multiprocessing.get_context("spawn")  # a forked torch may hang on its thread pool
    with context.Manager() as manager:
        reports = manager.Queue()
        pool = ProcessPoolExecutor(
            workers, context, _start_worker, (store.url, dataset, str(device), reports, plugin_files())
        )
        try:
            _drive(pool, _Schedule(list(tasks), store), workers, reports, progress, finished)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _drive(
    pool: ProcessPoolExecutor,
    schedule: _Schedule,
    workers: int,
    reports: Any,
    progress: Progress,
    finished: Finished,
) -> None:
    running: dict[Future[tuple[Status, str | None]], Task] = {}
    queued: list[Task] = []
    while schedule.waiting or queued or running:
        queued += schedule.ready([*running.values(), *queued])
        while queued and len(running) < workers:
            task = queued.pop(0)
            running[pool.submit(_work, task)] = task
        done, _ = wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
        _relay(reports, progress)
        for future in done:
            try:
                finished(running[future].title, *future.result())
            except BrokenProcessPool:
                titles = "; ".join(task.title for task in running.values())
                raise WorkerError(
                    f"A worker process was killed, perhaps for lack of memory, during: {titles}. What is done is "
                    "recorded; the same command goes on from there, with --workers 1 in less memory."
                ) from None
            del running[future]


def _relay(reports: Any, progress: Progress) -> None:
    while True:
        try:
            progress(*reports.get_nowait())
        except queue.Empty:
            return


_worker: dict[str, Any] = {}  # of a worker process: its runner and its way to report


def _start_worker(url: str, dataset: Dataset, device: str, reports: Any, plugins: Mapping[Path, str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends a worker without a word; the parent speaks
    warnings.simplefilter("ignore", PluginWarning)  # likewise
    for file, digest in plugins.items():
        load_plugin(file, digest)
    _worker["runner"] = Runner(Store(url), dataset, torch.device(device))
    _worker["reports"] = reports


def _work(task: Task) -> tuple[Status, str | None]:
    runner: Runner = _worker["runner"]
    return runner.run(task, lambda name, done, total: _worker["reports"].put((name, done, total)))
