"""What may be wrong with an installation and its record: each finding with its remedy, and what is safe to mend."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch

from unlearn_bench import environment, logbook
from unlearn_bench.artefacts import is_intact
from unlearn_bench.config import Benchmarks
from unlearn_bench.data import Location, datasets
from unlearn_bench.data.loading import load
from unlearn_bench.errors import MissingDatabaseError, UserError
from unlearn_bench.progress import Progress
from unlearn_bench.store import Store, health

LEAST_FREE_BYTES = 2 * 2**30  # a table at the paper's scale keeps some gigabytes of checkpoints and outputs


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        area: environment, device, data set, database, files, disk.
        state: ``note`` is nothing to mend.
        text: what was found.
        remedy: what mends it; empty where nothing is wrong.
        fix: mends it, where that loses nothing that cannot be made again.
    """

    area: str
    state: Literal["ok", "note", "wrong"]
    text: str
    remedy: str = ""
    fix: Callable[[], None] | None = None


def examine(benchmarks: Benchmarks, url: str, data: Path, progress: Progress) -> Iterator[Finding]:
    """Yields every finding, the quick ones first.

    Args:
        benchmarks: whose data sets are looked for.
        url: of the database.
        data: folder of data sets.
        progress: told about images that are decoded.
    """
    yield from _environment()
    yield from _database(url)
    yield from _data_sets(benchmarks, data, progress)


def _environment() -> Iterator[Finding]:
    packages = environment.packages()
    yield Finding("environment", "ok", ", ".join(f"{name} {version}" for name, version in packages.items()))
    yield Finding("environment", "ok", f"{environment.machine()}; {torch.get_num_threads()} threads")
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(number)
            text = f"cuda:{number} is {properties.name}, {properties.total_memory / 2**30:.0f} GiB"
            yield Finding("device", "ok", text + ("" if torch.cuda.is_bf16_supported() else ", without bfloat16"))
    else:
        yield Finding("device", "note", "no CUDA GPU: runs are made on the CPU")
    yield Finding("environment", "ok", f"logs are in {logbook.folder()}")


def _database(url: str) -> Iterator[Finding]:
    try:
        store = Store(url, create=False)
    except MissingDatabaseError as problem:
        yield Finding("database", "note", str(problem))
        return
    except UserError as problem:
        yield Finding("database", "wrong", str(problem), "Restore a copy of it.")
        return
    try:
        yield from _record(store)
    except UserError as problem:
        yield Finding("database", "wrong", str(problem), "Restore a copy of it.")
    yield from _disk(store)


def _record(store: Store) -> Iterator[Finding]:
    faults = health.faults(store)
    for fault in faults:
        remedy = "Restore a copy, or delete the run's row: the same command makes it again."
        yield Finding("database", "wrong", f"{store.shown_url}: {fault}", remedy)
    if not faults:
        yield Finding("database", "ok", f"{store.shown_url}: whole, {store.count()} runs")
    if dead := health.dead_claims(store):
        yield Finding(
            "database",
            "wrong",
            f"{len(dead)} claims of processes that are gone",
            "The next command takes them over; --fix removes them.",
            lambda: health.drop_claims(store, dead),
        )
    yield from _files(store)


def _disk(store: Store) -> Iterator[Finding]:
    folder = store.path.parent if store.path else Path()
    free = shutil.disk_usage(folder).free
    enough = free >= LEAST_FREE_BYTES
    text = f"{free / 2**30:.1f} GiB free beside the database"
    yield Finding("disk", "ok" if enough else "wrong", text, "" if enough else "Make room before a long command.")


def _files(store: Store) -> Iterator[Finding]:
    named = health.artefacts(store)
    missing = [artefact.file for artefact in named if not artefact.file.is_file()]
    damaged = [each.file for each in named if each.file.is_file() and not is_intact(*each)]
    again = "It is never read; what needs it makes it again."
    in_use = health.is_in_use(store)  # a process that works just now writes a file before the row that names it
    if damaged and in_use:
        yield Finding("files", "note", f"{len(damaged)} files are not what is recorded; another process is at work")
    for file in () if in_use else damaged:
        fix = partial(health.remove_damaged, store, file)
        yield Finding("files", "wrong", f"{file} is not what was written", f"{again} --fix deletes it.", fix)
    if missing:
        yield Finding("files", "note", f"{len(missing)} of {len(named)} files are gone, made again when needed")
    if not damaged:
        yield Finding("files", "ok", f"{len(named) - len(missing)} checkpoints and outputs, all with their SHA-256")
    for file in health.half_written(store):
        yield Finding("files", "wrong", f"{file} was never finished", "--fix deletes it.", file.unlink)
    whole = health.unnamed_files(store)
    if whole and in_use:
        yield Finding("files", "note", f"{len(whole)} files are named by no run; another process is at work")
    elif whole and not health.is_alone(store):
        yield Finding("files", "note", f"{len(whole)} files are another database's in the same folder, or no run's")
    else:
        for file in whole:
            remedy = "No run reads it; --fix deletes it."
            yield Finding("files", "wrong", f"{file} is named by no run", remedy, file.unlink)


def _data_sets(benchmarks: Benchmarks, data: Path, progress: Progress) -> Iterator[Finding]:
    for name in benchmarks.datasets:
        reader = datasets.get(name)
        if reader.name == "folder":
            continue  # it has no place of its own
        try:
            there = not reader.files or bool(reader.files(Location(data, "", False, progress)))
            found = load(name, folder=data, progress=progress) if there else None
        except UserError as problem:
            if reader.files:
                yield Finding("data set", "wrong", f"{name}: {problem}")
                continue
            found = None  # a reader that names no files can only try
        if found is None:
            yield Finding("data set", "note", f"{name} is not in {data}")
            continue
        twice = len(found.train) - len(set(found.train.digests))
        text = f"{name}: {len(found.train):,} and {found.test_images:,} images, content {found.digest[:12]}"
        yield Finding("data set", "ok", text + (f"; {twice} training images occur twice" if twice else ""))
