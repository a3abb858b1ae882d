"""Settings for SQLite: explicit transactions, and a write-ahead log so that readers do not wait for writers."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, event

from unlearn_bench.core.errors import MissingDatabaseError, StoreError

BUSY_TIMEOUT_MS = 30_000
MAGIC = b"SQLite format 3\0"
REASONS = {  # what SQLite says, and what it means for a user
    "database is locked": f"another program has locked it for {BUSY_TIMEOUT_MS // 1000} s; end it and try again",
    "readonly database": "it is read-only; change the permissions of the file and its folder, or give --db another one",
    "file is not a database": "it is damaged, or encrypted",
    "unable to open database file": "the file cannot be opened; check its permissions and those of its folder",
}


# databases that this process has opened, by path, device and inode. It never opens their files itself: when it closes
# one, POSIX releases the locks of all its connections, and another process then deletes the log that they write to
_in_use: set[tuple[Path, int, int]] = set()


def mark_in_use(path: Path) -> None:
    """Notes that this process has connections to a database."""
    _in_use.add(_identity(path))


def _identity(path: Path) -> tuple[Path, int, int]:
    state = path.stat()
    return path.resolve(), state.st_dev, state.st_ino


def check_path(path: Path, create: bool) -> None:
    """Checks the path of a database and, with ``create``, that it can be written; creates a missing folder then.

    SQLite needs to write to the folder too, for its log.

    Raises:
        MissingDatabaseError: there is no such file, without ``create``.
        StoreError: ``path`` is a folder or another kind of file; with ``create``, the file or its folder is read-only.
        OSError: the folder cannot be created.
    """
    if path.is_dir():
        raise StoreError(f"The database {path} is a folder. Give --db the URL of a file: sqlite:///{path}/runs.sqlite")
    if path.exists() and not _may_be_database(path):
        raise StoreError(f"The file {path} is not an SQLite database. Give --db the URL of another file.")
    if not create:
        if not path.exists():
            raise MissingDatabaseError(f"There is no database at {path}. Create one with: unlearn-bench demo")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    for part in (path, path.parent) if path.exists() else (path.parent,):
        if not os.access(part, os.W_OK):
            what = "its folder" if part == path.parent else "the file"
            raise StoreError(
                f"The database {path} is read-only: you have no permission to write to {what}. Change the permissions, "
                "or give --db another database."
            )


def _may_be_database(path: Path) -> bool:
    """Returns whether a file is empty or starts as an SQLite file does; SQLite overwrites files of a few bytes."""
    try:
        if _identity(path) in _in_use:
            return True
        with path.open("rb") as stream:
            return stream.read(len(MAGIC)) in (b"", MAGIC)
    except OSError:  # SQLite says why it cannot be read
        return True


def for_reading(url: URL, path: Path) -> URL:
    """Returns a URL that can read a file in a read-only folder, where WAL mode could not create its files."""
    log = path.with_name(f"{path.name}-wal")
    if os.access(path.parent, os.W_OK) or (log.exists() and log.stat().st_size):
        return url
    query = {"mode": "ro", "immutable": "1", "uri": "true"}
    return url.set(database=f"file:{quote(str(path.resolve()))}").update_query_dict(query)


def prepare(engine: Engine) -> None:
    """Sets up every connection of ``engine``."""

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin in the listener below, not in the driver
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # a writer locks before it reads; otherwise two writers could both find a row missing and add it
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def write_ahead(engine: Engine) -> None:
    """Switches a new file to WAL mode permanently. Retries while the file is locked: SQLite does not wait here."""
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            with closing(engine.raw_connection()) as connection:  # the mode cannot change in a transaction
                connection.cursor().execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as problem:
            if "locked" not in str(problem) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
