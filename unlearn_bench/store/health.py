"""Checks a database: SQLite's own check, rows without a parent, and files that rows name."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import delete, select, text

from unlearn_bench.core.artefacts import Artefacts
from unlearn_bench.core.files import abandoned
from unlearn_bench.core.processes import is_running, this_host
from unlearn_bench.store import Store
from unlearn_bench.store.sqlite import MAGIC
from unlearn_bench.store.tables import LeaseRow, ModelRow, OutputsRow, RunRow, ValueRow
from unlearn_bench.store.trainings import SUFFIX, Header, read_header


class Artefact(NamedTuple):
    """A file that a row names: where it is stored, its name and its SHA-256."""

    files: Artefacts
    name: str
    digest: str

    @property
    def location(self) -> str:
        """Its path or URL."""
        return self.files.locate(self.name)


def faults(store: Store) -> list[str]:
    """Returns the faults of a database, one sentence each: damaged pages or indexes, and rows without a parent."""
    sentences: list[str] = []
    with store.session() as session:
        if store.path is not None:
            answers = list(session.scalars(text("PRAGMA integrity_check")))
            sentences += [f"SQLite: {answer}" for answer in answers if answer != "ok"]
            for table, row, parent, _ in session.execute(text("PRAGMA foreign_key_check")):
                sentences.append(f"row {row} of {table} belongs to a row of {parent} that does not exist")
        done = select(RunRow.key).where(
            RunRow.status == "done", ~select(ValueRow).where(ValueRow.run_id == RunRow.id).exists()
        )
        sentences += [f"run {key[:12]} is done and has no values" for key in session.scalars(done)]
    return sentences


def artefacts(store: Store) -> list[Artefact]:
    """Returns every checkpoint and stored output that a row names."""
    with store.session() as session:
        models = session.execute(select(ModelRow.file, ModelRow.file_digest).where(ModelRow.file.is_not(None))).all()
        outputs = session.execute(select(OutputsRow.file, OutputsRow.file_digest)).all()
    return [
        Artefact(files, file, digest)
        for files, named in ((store.model_files, models), (store.output_files, outputs))
        for file, digest in named
        if file and digest and Path(file).name == file  # ignore names that leave the folder
    ]


def remove_damaged(store: Store, damaged: Artefact) -> None:
    """Deletes a file whose SHA-256 is not the recorded one. Keeps it if another process has written it again."""
    same = [artefact for artefact in artefacts(store) if artefact.location == damaged.location]
    if not any(artefact.files.find(artefact.name, artefact.digest) for artefact in same):
        damaged.files.remove(damaged.name)


def unnamed_files(store: Store) -> list[Artefact]:
    """Returns stored files that no row of the database names. They can belong to another database."""
    named = {artefact.location for artefact in artefacts(store)}
    places = (store.model_files, store.output_files)
    found = [Artefact(files, name, "") for files in places for name in sorted(files.names())]
    return [artefact for artefact in found if artefact.location not in named]


class Training(NamedTuple):
    """The saved state of a training that no process of this database makes now.

    ``header`` is None if the file is damaged or of another version, so that no training goes on from it.
    """

    file: Path
    header: Header | None
    is_recorded: bool


def unfinished_trainings(store: Store) -> list[Training]:
    """Returns the saved states of trainings that were interrupted, and those whose model is recorded."""
    files = {file.name.removesuffix(SUFFIX): file for file in sorted(store.models_folder.glob(f"*{SUFFIX}"))}
    with store.session() as session:
        in_progress = set(session.scalars(select(LeaseRow.key))) - set(dead_leases(store))
    recorded = store.with_weights([key for key in files if key not in in_progress])
    return [Training(file, read_header(file), key in recorded) for key, file in files.items() if key not in in_progress]


def half_written(store: Store) -> list[Path]:
    """Returns unfinished files of processes of this machine that no longer run."""
    return [file for folder in (store.models_folder, store.outputs_folder) for file in abandoned(folder)]


def is_alone(store: Store) -> bool:
    """Returns whether no other database shares the folders of an SQLite file; False for other databases."""
    if store.path is None:
        return False
    siblings = (file for file in store.path.parent.iterdir() if file.is_file() and file.suffix != ".bak")
    own = {store.path.name, *(f"{store.path.name}-{part}" for part in ("wal", "shm", "journal"))}
    others = (file for file in siblings if file.name not in own and file.resolve() != store.path.resolve())
    return not any(_is_sqlite(file) for file in others)


def _is_sqlite(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC


def dead_leases(store: Store) -> list[str]:
    """Returns the keys of leases whose processes, on this machine, no longer run."""
    with store.session() as session:
        rows = session.scalars(select(LeaseRow).where(LeaseRow.host == this_host())).all()
        return [row.key for row in rows if not is_running(row.pid)]


def is_in_use(store: Store) -> bool:
    """Returns whether a lease exists whose process runs, or may run on another machine."""
    with store.session() as session:
        keys = set(session.scalars(select(LeaseRow.key)))
    return bool(keys - set(dead_leases(store)))


def tidy(store: Store) -> None:
    """Removes unfinished files and leases of processes of this machine that were killed.

    A saved training is removed only if its model is recorded.
    """
    ended = [training.file for training in unfinished_trainings(store) if training.is_recorded]
    for file in (*half_written(store), *ended):
        with contextlib.suppress(OSError):  # a file of another user, in a shared folder
            file.unlink(missing_ok=True)
    if dead := dead_leases(store):
        drop_leases(store, dead)


def drop_leases(store: Store, keys: list[str]) -> None:
    """Deletes the leases with these keys."""
    with store.transaction() as session:
        session.execute(delete(LeaseRow).where(LeaseRow.key.in_(keys)))
