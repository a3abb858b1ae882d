"""Checks an installation and its database: each finding has a remedy and, if no data can be lost, a repair."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from unlearn_bench.config.benchmarks import Benchmarks
from unlearn_bench.core import environment
from unlearn_bench.core import logs as logbook
from unlearn_bench.core.errors import MissingDatabaseError, StorageError, UserError
from unlearn_bench.core.progress import Progress
from unlearn_bench.core.shared_storage import artefacts_at
from unlearn_bench.data import Location, datasets
from unlearn_bench.data.loading import load
from unlearn_bench.store import Store, health
from unlearn_bench.store.locations import location_of
from unlearn_bench.training.devices import machine

LEAST_FREE_BYTES = 2 * 2**30  # a table at the paper's scale writes some gigabytes of checkpoints and outputs


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        area: environment, device, data set, database, files or disk.
        state: ``ok``, ``note`` (no problem, but worth knowing) or ``wrong``.
        text: the result as a sentence.
        remedy: what you can do about it; empty if nothing is wrong.
        fix: repairs it; None if a repair could lose data that cannot be made again.
    """

    area: str
    state: Literal["ok", "note", "wrong"]
    text: str
    remedy: str = ""
    fix: Callable[[], None] | None = None


def examine(
    benchmarks: Benchmarks, url: str, data: Path, progress: Progress, artefacts: str | None = None
) -> Iterator[Finding]:
    """Yields every finding, those of fast checks first.

    Args:
        benchmarks: benchmarks.yaml, whose data sets are checked.
        url: URL of the database.
        data: folder of data sets.
        progress: called while images are decoded.
        artefacts: URL or folder of checkpoints and outputs, see :class:`unlearn_bench.store.Store`.

    Raises:
        OptionError: ``artefacts`` is a URL that cannot be used.
    """
    yield from _environment()
    yield from storage_findings(artefacts)
    yield from database_findings(url, artefacts)
    yield from _data_sets(benchmarks, data, progress)


def _environment() -> Iterator[Finding]:
    packages = environment.packages()
    yield Finding("environment", "ok", ", ".join(f"{name} {version}" for name, version in packages.items()))
    yield Finding("environment", "ok", f"{machine()}; {torch.get_num_threads()} threads")
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(number)
            text = f"cuda:{number} is {properties.name}, {properties.total_memory / 2**30:.0f} GiB"
            yield Finding("device", "ok", text + ("" if torch.cuda.is_bf16_supported() else ", without bfloat16"))
    else:
        yield Finding("device", "note", "no CUDA GPU: runs are made on the CPU")
    yield Finding("environment", "ok", f"logs are in {logbook.folder()}")


def storage_findings(artefacts: str | None = None) -> Iterator[Finding]:
    """Yields whether shared storage, if it is used, can be written, read and deleted."""
    location = location_of(artefacts)
    files = artefacts_at(location, "models") if location else None
    if files is None or not files.is_shared:
        return
    try:
        files.check()
    except StorageError as problem:
        yield Finding("files", "wrong", str(problem))
    else:
        yield Finding("files", "ok", f"{location} can be written, read and deleted")


def database_findings(url: str, artefacts: str | None = None) -> Iterator[Finding]:
    """Yields the findings on a database, its files and its disk."""
    try:
        store = Store(url, create=False, artefacts=artefacts)
    except MissingDatabaseError as problem:
        yield Finding("database", "note", str(problem))
        return
    except UserError as problem:
        yield Finding("database", "wrong", str(problem), "Restore a backup of it.")
        return
    try:
        yield from _record(store)
    except StorageError as problem:
        yield Finding("files", "wrong", str(problem))
    except UserError as problem:
        yield Finding("database", "wrong", str(problem), "Restore a backup of it.")
    yield from _disk(store)


def _record(store: Store) -> Iterator[Finding]:
    faults = health.faults(store)
    for fault in faults:
        remedy = "Restore a backup, or delete the row of the run; the same command makes the run again."
        yield Finding("database", "wrong", f"{store.shown_url}: {fault}", remedy)
    if not faults:
        yield Finding("database", "ok", f"{store.shown_url}: intact, {store.count()} runs")
    if dead := health.dead_leases(store):
        yield Finding(
            "database",
            "wrong",
            f"{len(dead)} leases of processes that have ended",
            "The next command takes them over; --fix removes them.",
            lambda: health.drop_leases(store, dead),
        )
    yield from _files(store)


def _disk(store: Store) -> Iterator[Finding]:
    folder = store.path.parent if store.path else Path()
    free = shutil.disk_usage(folder).free
    enough = free >= LEAST_FREE_BYTES
    text = f"{free / 2**30:.1f} GiB free next to the database"
    yield Finding("disk", "ok" if enough else "wrong", text, "" if enough else "Free some space before a long command.")


def _files(store: Store) -> Iterator[Finding]:
    named = health.artefacts(store)
    stored = {files.path: files.names() for files in (store.model_files, store.output_files)}
    missing = [artefact for artefact in named if artefact.name not in stored[artefact.files.path]]
    is_shared = store.model_files.is_shared  # then each SHA-256 is checked when its file is read
    exist = [] if is_shared else [artefact for artefact in named if artefact.name in stored[artefact.files.path]]
    damaged = [artefact for artefact in exist if not artefact.files.find(artefact.name, artefact.digest)]
    again = "It is not read; the next command that needs it makes it again."
    in_use = health.is_in_use(store)  # a running process writes a file before the row that names it
    if damaged and in_use:
        yield Finding("files", "note", f"{len(damaged)} files differ from what was written; another process is running")
    for artefact in () if in_use else damaged:
        fix = partial(health.remove_damaged, store, artefact)
        yield Finding(
            "files", "wrong", f"{artefact.location} differs from what was written", f"{again} --fix deletes it.", fix
        )
    if missing:
        yield Finding("files", "note", f"{len(missing)} of {len(named)} files are missing, and made again when needed")
    if not damaged:
        where = f" in {store.artefacts}; each SHA-256 is checked when the file is read"
        how = where if is_shared else ", all with their SHA-256"
        yield Finding("files", "ok", f"{len(named) - len(missing)} checkpoints and outputs{how}")
    for file in health.half_written(store):
        yield Finding("files", "wrong", f"{file} was not written completely", "--fix deletes it.", file.unlink)
    yield from _trainings(store)
    yield from _unnamed(store, in_use)


def _unnamed(store: Store, in_use: bool) -> Iterator[Finding]:
    """Yields the files that no row names. They are deleted only where no other database can have them."""
    unnamed = health.unnamed_files(store)
    if unnamed and in_use:
        yield Finding("files", "note", f"{len(unnamed)} files belong to no run; another process is running")
    elif unnamed and (store.artefacts or not health.is_alone(store)):
        where = store.artefacts or "this folder"
        yield Finding("files", "note", f"{len(unnamed)} files in {where} belong to another database, or to no run")
    else:
        for artefact in unnamed:
            remedy = "No run uses it; --fix deletes it."
            fix = partial(artefact.files.remove, artefact.name)
            yield Finding("files", "wrong", f"{artefact.location} belongs to no run", remedy, fix)


def _trainings(store: Store) -> Iterator[Finding]:
    """Yields the saved states of interrupted trainings. Only those from which no training goes on are deleted."""
    for file, header, is_recorded in health.unfinished_trainings(store):
        size = f"{file.stat().st_size / 2**20:.1f} MiB"
        if header is None or is_recorded:
            reason = "whose model is recorded" if is_recorded else "that is damaged or of another version"
            text = f"{file} ({size}) is the state of a training {reason}"
            yield Finding("files", "wrong", text, "--fix deletes it.", partial(file.unlink, missing_ok=True))
            continue
        text = (
            f"{file} ({size}) is the state of {header.title!r}, interrupted at step {header.step:,} of {header.steps:,}"
        )
        yield Finding("files", "note", text, "The same command goes on from it; delete it if you do not want to.")


def _data_sets(benchmarks: Benchmarks, data: Path, progress: Progress) -> Iterator[Finding]:
    for name in benchmarks.datasets:
        reader = datasets.get(name)
        if reader.reads_by:
            continue  # a user's own images have no fixed folder
        try:
            exists = not reader.files or bool(reader.files(Location(data, "", False, progress)))
            dataset = load(name, folder=data, progress=progress) if exists else None
        except UserError as problem:
            if reader.files:
                yield Finding("data set", "wrong", f"{name}: {problem}")
                continue
            dataset = None  # the reader does not name its files, so an error means that there are none
        if dataset is None:
            yield Finding("data set", "note", f"{name} is not in {data}")
            continue
        copies = len(dataset.train) - len(set(dataset.train.digests))
        images = f"{len(dataset.train):,} training and {dataset.test_images:,} test images"
        repeated = f"; {copies} training images are copies of others" if copies else ""
        yield Finding("data set", "ok", f"{name}: {images}, content {dataset.digest[:12]}{repeated}")
