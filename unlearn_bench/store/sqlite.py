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

BUSY_TIMEOUT_MS = 30_000


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
