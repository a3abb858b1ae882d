"""Executes a plan on this machine: in this process, or in several processes that share the database.

The numbers of a run do not depend on the choice, because every run fixes its own threads and seeds.
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

from unlearn_bench.core.errors import PluginWarning, WorkerError
from unlearn_bench.core.progress import Progress
from unlearn_bench.core.registry import load_plugin, plugin_files
from unlearn_bench.data import Dataset
from unlearn_bench.running.runner import Runner
from unlearn_bench.running.saving import tell_saved
from unlearn_bench.running.tasks import Task
from unlearn_bench.store import Store
from unlearn_bench.store.leases import Leases
from unlearn_bench.store.records import Status
from unlearn_bench.training.devices import choose_device

POLL_SECONDS = 0.1
WAIT_SECONDS = 0.5  # between checks whether another process has finished a model that a task here needs
SILENT_SECONDS = 5.0  # of waiting for another process, before a message says so

# title of the run, its status (None: another process recorded it first), the reason if it is not done
Finished = Callable[[str, Status | None, str | None], None]
Missing = Callable[[Task], bool]  # whether no process has recorded the task yet


class _Schedule:
    """Chooses the next task: its start model exists, and no process, this one or another, is making its weights."""

    def __init__(
        self,
        tasks: Sequence[Task],
        store: Store,
        leases: Leases,
        missing: Missing,
        finished: Finished,
        say: Callable[[str], None],
    ):
        self.waiting = list(tasks)
        self.store = store
        self._leases = leases
        self._missing = missing
        self._finished = finished
        self._say = say
        self._idle_since: float | None = None
        self._announced: set[str] = set()

    def take(self, running: Iterable[Task] = ()) -> Task | None:
        """Removes and returns a task that is now leased to this process; None if no task can start yet.

        Tasks that another process has recorded since the plan was made are reported as finished and skipped.
        """
        made_here = {task.model_key for task in running}
        unfinished = made_here | {task.model_key for task in self.waiting}
        in_progress = made_here | self._leases.of_others().keys()
        for task in list(self.waiting):
            if task.model_key in in_progress or task.start_key in unfinished:
                continue
            if not self._leases.take(task.model_key):
                continue
            self.waiting.remove(task)
            self._idle_since = None
            if self._missing(task):
                return task
            self._leases.release(task.model_key)
            self._finished(task.title, None, None)
        return None

    def wait(self) -> None:
        """Waits a moment for other processes; after ``SILENT_SECONDS``, names each of them once."""
        now = time.monotonic()
        self._idle_since = self._idle_since or now
        if now - self._idle_since > SILENT_SECONDS:
            makers = self._leases.of_others()
            for task in self.waiting:
                maker = makers.get(task.model_key) or makers.get(task.start_key or "")
                if maker and maker not in self._announced:
                    self._announced.add(maker)
                    self._say(
                        f"Waiting for {maker}, which makes a model needed for {task.title}. Ctrl-C loses no runs."
                    )
        time.sleep(WAIT_SECONDS)

    def release(self, task: Task) -> None:
        """Releases the lease of a task, once its run is recorded."""
        self._leases.release(task.model_key)


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
    """Makes and records runs, up to ``workers`` at the same time; other processes on this database share the work.

    Args:
        tasks: from a plan: every start model is among them or recorded.
        store: the database that records the runs.
        dataset: the data set of all tasks.
        device: the device of all tasks.
        workers: number of processes; with 1, the runs are made in this process. Several processes share a GPU.
        missing: called once a task is leased, because another process may have recorded it since the plan was made.
        progress: called at every step of every run.
        say: called with a line that says which process a wait is for.
        finished: called for every run that ended.

    Raises:
        UserError: wrong use that shows only during a run.
        WorkerError: a worker process was killed.
    """
    workers = min(workers, len(tasks))
    with Leases(store) as leases:
        schedule = _Schedule(tasks, store, leases, missing, finished, say)
        if workers > 1:
            _in_processes(schedule, dataset, device, workers, progress, say, finished)
            return
        runner = Runner(store, dataset, device)
        while schedule.waiting:
            task = schedule.take()
            if task is None:
                schedule.wait()
                continue
            try:
                status, error = runner.run(task, progress, say)
            except KeyboardInterrupt:
                tell_saved([task], store, device, say)
                raise
            schedule.release(task)
            finished(task.title, status, error)


def _in_processes(
    schedule: _Schedule,
    dataset: Dataset,
    device: torch.device,
    workers: int,
    progress: Progress,
    say: Callable[[str], None],
    finished: Finished,
) -> None:
    context = multiprocessing.get_context("spawn")  # torch may hang on its thread pool after a fork
    reports = context.Queue()
    places = (schedule.store.url, schedule.store.artefacts)
    pool = ProcessPoolExecutor(workers, context, _start_worker, (places, dataset, str(device), reports, plugin_files()))
    running: dict[Future[tuple[Status, str | None]], Task] = {}
    last_look = -WAIT_SECONDS
    try:
        while schedule.waiting or running:
            while len(running) < workers and time.monotonic() - last_look > WAIT_SECONDS:
                task = schedule.take(running.values())
                if task is None:
                    last_look = time.monotonic()
                    break
                running[pool.submit(_work, task)] = task
            if not running:
                schedule.wait()
            done, _ = wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            _relay(reports, progress, say)
            for future in done:
                status, error = _result(future, running)
                task = running.pop(future)
                schedule.release(task)
                finished(task.title, status, error)
                last_look = -WAIT_SECONDS  # tasks that waited for it can start at once
    except KeyboardInterrupt:  # the signal may not have reached the workers
        for process in multiprocessing.active_children():
            process.terminate()
        tell_saved(running.values(), schedule.store, device, say)
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        while wait(running, timeout=POLL_SECONDS).not_done:  # a worker ends only when all its reports are read
            _relay(reports, progress, say)
        pool.shutdown(wait=True)


def _result(
    future: Future[tuple[Status, str | None]], running: Mapping[Future[tuple[Status, str | None]], Task]
) -> tuple[Status, str | None]:
    try:
        return future.result()
    except BrokenProcessPool:
        titles = "; ".join(task.title for task in running.values())
        raise WorkerError(
            f"A worker process was killed, perhaps for lack of memory, during: {titles}. Finished runs are "
            "recorded. Run the same command again to continue; with --workers 1 it needs less memory."
        ) from None


def _relay(reports: Any, progress: Progress, say: Callable[[str], None]) -> None:
    while True:
        try:
            report = reports.get_nowait()
        except queue.Empty:
            return
        if isinstance(report, str):
            say(report)
        else:
            progress(*report)


_worker: dict[str, Any] = {}  # in a worker process: its runner, and the queue for its reports


def _start_worker(
    places: tuple[str, str], dataset: Dataset, device: str, reports: Any, plugins: Mapping[Path, str]
) -> None:
    for kind in (signal.SIGINT, signal.SIGTERM):  # a worker ends silently; the parent prints the message
        signal.signal(kind, signal.SIG_DFL)
    warnings.simplefilter("ignore", PluginWarning)  # the parent has shown it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    reports.cancel_join_thread()  # unread reports must not keep a worker alive
    _worker["reports"] = reports
    try:
        for file, digest in plugins.items():
            load_plugin(file, digest)
        url, artefacts = places
        store = Store(url, create=False, artefacts=artefacts)
        _worker["runner"] = Runner(store, dataset, choose_device(device))
    except Exception as problem:  # raised by the first task: the pool would say only that a worker is broken
        _worker["problem"] = problem


def _end_with_parent() -> None:
    """Ends this worker once its parent process has ended in any way: it would never get another task."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _work(task: Task) -> tuple[Status, str | None]:
    if "problem" in _worker:
        raise _worker["problem"]
    runner: Runner = _worker["runner"]
    reports = _worker["reports"]
    return runner.run(task, lambda name, done, total: reports.put((name, done, total)), reports.put)
