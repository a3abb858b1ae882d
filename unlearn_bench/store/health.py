"""Whether a database is whole: its own check, rows that belong to nothing, files that it names."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import delete, select, text

from unlearn_bench.artefacts import abandoned, is_intact
from unlearn_bench.processes import is_running, this_host
from unlearn_bench.store import Store
from unlearn_bench.store.tables import ClaimRow, ModelRow, OutputsRow, RunRow, ValueRow


class Artefact(NamedTuple):
    """A file that a row names."""

    file: Path
    digest: str


def faults(store: Store) -> list[str]:
    """Returns what the database finds wrong with itself, a sentence each: pages, indexes, rows that name no other."""
    found: list[str] = []
    with store.session() as session:
        if store.path is not None:
            answers = list(session.scalars(text("PRAGMA integrity_check")))
            found += [f"SQLite: {answer}" for answer in answers if answer != "ok"]
            for table, row, parent, _ in session.execute(text("PRAGMA foreign_key_check")):
                found.append(f"row {row} of {table} belongs to a row of {parent} that is gone")
        done = select(RunRow.key).where(
            RunRow.status == "done", ~select(ValueRow).where(ValueRow.run_id == RunRow.id).exists()
        )
        found += [f"run {key[:12]} is done and has no values" for key in session.scalars(done)]
    return found


def artefacts(store: Store) -> list[Artefact]:
    """Returns every checkpoint and stored output that a row names."""
    with store.session() as session:
        models = session.execute(select(ModelRow.file, ModelRow.file_digest).where(ModelRow.file.is_not(None))).all()
        outputs = session.execute(select(OutputsRow.file, OutputsRow.file_digest)).all()
    return [
        Artefact(folder / file, digest)
        for folder, named in ((store.models_folder, models), (store.outputs_folder, outputs))
        for file, digest in named
        if file and digest and Path(file).name == file  # of a database that was tampered with: nothing elsewhere
    ]


def remove_damaged(store: Store, file: Path) -> None:
    """Deletes a file that is not what its row names; not one that was written anew meanwhile."""
    if not any(is_intact(file, artefact.digest) for artefact in artefacts(store) if artefact.file == file):
        file.unlink(missing_ok=True)


def unnamed_files(store: Store) -> list[Path]:
    """Returns the files beside the database that none of its rows names; of another one in the same place, one may."""
    named = {artefact.file for artefact in artefacts(store)}
    folders = (store.models_folder, store.outputs_folder)
    return [file for folder in folders for file in sorted(folder.glob("*.safetensors")) if file not in named]


def half_written(store: Store) -> list[Path]:
    """Returns the files that processes of this machine did not finish."""
    return [file for folder in (store.models_folder, store.outputs_folder) for file in abandoned(folder)]


def is_alone(store: Store) -> bool:
    """Returns whether no other database shares the folders of checkpoints and outputs, as far as can be told."""
    if store.path is None:
        return False
    here = (file for file in store.path.parent.iterdir() if file.is_file() and file.suffix != ".bak")
    return not any(_is_sqlite(file) for file in here if file.resolve() != store.path.resolve())


def _is_sqlite(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(16) == b"SQLite format 3\0"


def dead_claims(store: Store) -> list[str]:
    """Returns the keys that processes of this machine claimed which are gone."""
    with store.session() as session:
        rows = session.scalars(select(ClaimRow).where(ClaimRow.host == this_host())).all()
        return [row.key for row in rows if not is_running(row.pid)]


def is_in_use(store: Store) -> bool:
    """Returns whether a process is making models of this database just now, as far as can be told."""
    with store.session() as session:
        keys = set(session.scalars(select(ClaimRow.key)))
    return bool(keys - set(dead_claims(store)))


def tidy(store: Store) -> None:
    """Removes what processes of this machine left behind that were killed: half-written files, claims."""
    for file in half_written(store):
        with contextlib.suppress(OSError):  # another user's, in a folder that is shared
            file.unlink(missing_ok=True)
    if dead := dead_claims(store):
        drop_claims(store, dead)


def drop_claims(store: Store, keys: list[str]) -> None:
    """Deletes claims of processes that are gone."""
    with store.transaction() as session:
        session.execute(delete(ClaimRow).where(ClaimRow.key.in_(keys)))
