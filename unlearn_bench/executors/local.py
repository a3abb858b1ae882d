"""Carries out a plan on this machine: in this process, or in several that share the database.

A run's numbers do not depend on the choice: every run fixes its own threads and seeds.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any

import torch

from unlearn_bench.data import Dataset
from unlearn_bench.environment import choose_device
from unlearn_bench.errors import PluginWarning, WorkerError
from unlearn_bench.progress import Progress
from unlearn_bench.registry import load_plugin, plugin_files
from unlearn_bench.runner import Runner
from unlearn_bench.store import Store
from unlearn_bench.store.claims import Claims
from unlearn_bench.store.records import Status
from unlearn_bench.tasks import Task

POLL_SECONDS = 0.1
WAIT_SECONDS = 0.5  # between looks whether another process has made what ours wait for
SILENT_SECONDS = 5.0  # of such a wait, before it is told

# title of the run, how it ended (None: recorded meanwhile, by another process as a rule), why if not done
Finished = Callable[[str, Status | None, str | None], None]
Missing = Callable[[Task], bool]  # whether nobody has recorded it yet


class _Schedule:
    """Which task may start next: its start model is made, and nobody, here or elsewhere, is making its weights."""

    def __init__(
        self,
        tasks: Sequence[Task],
        store: Store,
        claims: Claims,
        missing: Missing,
        finished: Finished,
        say: Callable[[str], None],
    ):
        self.waiting = list(tasks)
        self.store = store
        self._claims = claims
        self._missing = missing
        self._finished = finished
        self._say = say
        self._idle_since: float | None = None
        self._told: set[str] = set()

    def take(self, running: Iterable[Task] = ()) -> Task | None:
        """Returns a task, claimed for this process, and removes it; None while none may start.

        What another process recorded since the plan was made is told of and left out.
        """
        making = {task.model_key for task in running}
        to_come = making | {task.model_key for task in self.waiting}
        being_made = making | self._claims.of_others().keys()
        for task in list(self.waiting):
            if task.model_key in being_made or task.start_key in to_come:
                continue
            if not self._claims.take(task.model_key):
                continue
            self.waiting.remove(task)
            self._idle_since = None
            if self._missing(task):
                return task
            self._claims.give_back(task.model_key)
            self._finished(task.title, None, None)
        return None

    def wait(self) -> None:
        """Waits a moment for other processes, and says for whom where that takes long, once for each of them."""
        now = time.monotonic()
        self._idle_since = self._idle_since or now
        if now - self._idle_since > SILENT_SECONDS:
            makers = self._claims.of_others()
            for task in self.waiting:
                maker = makers.get(task.model_key) or makers.get(task.start_key or "")
                if maker and maker not in self._told:
                    self._told.add(maker)
                    self._say(
                        f"Waiting for {maker}, which makes what is needed for {task.title}. Ctrl-C loses nothing."
                    )
        time.sleep(WAIT_SECONDS)

    def give_back(self, task: Task) -> None:
        """Ends the claim of a task that is recorded."""
        self._claims.give_back(task.model_key)


def execute(
    tasks: Sequence[Task],
    *,
    store: Store,
    dataset: Dataset,
    device: torch.device,
    workers: int,
    missing: Missing,
    progress: Progress,
    say: Callable[[str], None],
    finished: Finished,
) -> None:
    """Makes and records the runs, as many at a time as there are workers; shares them with other such processes.

    Args:
        tasks: from a plan: start models among them or recorded.
        store: where they are recorded.
        dataset: of all tasks.
        device: of all tasks.
        workers: processes; 1 works in this one. Several share a GPU.
        missing: asked again once a task is claimed, since others may have recorded it meanwhile.
        progress: told of every step of every run.
        say: told for whom a wait is.
        finished: told of every run that ended.

    Raises:
        UserError: wrong use that only shows in a run.
        WorkerError: a worker process was killed.
    """
    workers = min(workers, len(tasks))
    with Claims(store) as claims:
        schedule = _Schedule(tasks, store, claims, missing, finished, say)
        if workers > 1:
            _in_processes(schedule, dataset, device, workers, progress, finished)
            return
        runner = Runner(store, dataset, device)
        while schedule.waiting:
            task = schedule.take()
            if task is None:
                schedule.wait()
                continue
            status, error = runner.run(task, progress)
            schedule.give_back(task)
            finished(task.title, status, error)


def _in_processes(
    schedule: _Schedule, dataset: Dataset, device: torch.device, workers: int, progress: Progress, finished: Finished
) -> None:
    context = multiprocessing.get_context("spawn")  # a forked torch may hang on its thread pool
    reports = context.Queue()
    pool = ProcessPoolExecutor(
        workers, context, _start_worker, (schedule.store.url, dataset, str(device), reports, plugin_files())
    )
    running: dict[Future[tuple[Status, str | None]], Task] = {}
    looked = -WAIT_SECONDS
    try:
        while schedule.waiting or running:
            while len(running) < workers and time.monotonic() - looked > WAIT_SECONDS:
                task = schedule.take(running.values())
                if task is None:
                    looked = time.monotonic()
                    break
                running[pool.submit(_work, task)] = task
            if not running:
                schedule.wait()
            done, _ = wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            _relay(reports, progress)
            for future in done:
                status, error = _result(future, running)
                task = running.pop(future)
                schedule.give_back(task)
                finished(task.title, status, error)
                looked = -WAIT_SECONDS  # what waited for it may start
    except KeyboardInterrupt:  # which workers need not have been sent
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        while wait(running, timeout=POLL_SECONDS).not_done:  # a worker ends once all that it reports is read
            _relay(reports, progress)
        pool.shutdown(wait=True)


def _result(
    future: Future[tuple[Status, str | None]], running: Mapping[Future[tuple[Status, str | None]], Task]
) -> tuple[Status, str | None]:
    try:
        return future.result()
    except BrokenProcessPool:
        titles = "; ".join(task.title for task in running.values())
        raise WorkerError(
            f"A worker process was killed, perhaps for lack of memory, during: {titles}. What is done is "
            "recorded; the same command goes on from there, with --workers 1 in less memory."
        ) from None


def _relay(reports: Any, progress: Progress) -> None:
    while True:
        try:
            progress(*reports.get_nowait())
        except queue.Empty:
            return


_worker: dict[str, Any] = {}  # of a worker process: its runner and its way to report


def _start_worker(url: str, dataset: Dataset, device: str, reports: Any, plugins: Mapping[Path, str]) -> None:
    for kind in (signal.SIGINT, signal.SIGTERM):  # either ends a worker without a word; the parent speaks
        signal.signal(kind, signal.SIG_DFL)
    warnings.simplefilter("ignore", PluginWarning)  # likewise
    threading.Thread(target=_end_with_parent, daemon=True).start()
    reports.cancel_join_thread()  # nor does what nobody reads any more keep a worker
    _worker["reports"] = reports
    try:
        for file, digest in plugins.items():
            load_plugin(file, digest)
        _worker["runner"] = Runner(Store(url, create=False), dataset, choose_device(device))
    except Exception as problem:  # told by the first task: a pool only says that a worker is broken
        _worker["problem"] = problem


def _end_with_parent() -> None:
    """Ends this process once its parent is gone, however that ended: nobody would ever give it another task."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _work(task: Task) -> tuple[Status, str | None]:
    if "problem" in _worker:
        raise _worker["problem"]
    runner: Runner = _worker["runner"]
    return runner.run(task, lambda name, done, total: _worker["reports"].put((name, done, total)))
