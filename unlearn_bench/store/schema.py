"""Which schema a database has, and its upgrade to this version's, after a copy."""

from __future__ import annotations

import re
import sqlite3
import warnings
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from unlearn_bench.artefacts import durable
from unlearn_bench.errors import StoreError, UpgradeNotice
from unlearn_bench.store.tables import Base, ClaimRow

FIRST, NEWEST = "0001", "0004"  # of store/migrations/versions
VERSION_TABLE = "alembic_version"
SINCE_FIRST = {ClaimRow.__tablename__, "methods.makes_inputs"}  # tables and columns that came later


def create(connection: Connection) -> None:
    """Makes every table of the newest schema, and notes its name."""
    _alone(connection)
    Base.metadata.create_all(connection)
    # as Alembic makes it, without waiting for Alembic to load
    key = f"CONSTRAINT {VERSION_TABLE}_pkc PRIMARY KEY (version_num)"
    connection.execute(text(f"CREATE TABLE IF NOT EXISTS {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL, {key})"))
    if _noted(connection) is None:
        connection.execute(text(f"INSERT INTO {VERSION_TABLE} VALUES (:version)"), {"version": NEWEST})


def bring_up(engine: Engine, writer: Engine, path: Path | None, shown_url: str) -> None:
    """Upgrades a database to the newest schema, unless it has it.

    An SQLite file is copied first, beside itself. Any other database is upgraded in one transaction, without a copy.

    Args:
        engine: reads.
        writer: begins transactions that write.
        path: of an SQLite file.
        shown_url: for messages.

    Raises:
        StoreError: the database is newer than this version, or older than its first release.
        FileError: no room for the copy; the database stays as it was.
    """
    with engine.connect() as connection:
        found = _version(connection, shown_url)
    if found == NEWEST:
        return
    if not re.fullmatch(r"\d{4}", found) or found < FIRST:
        raise StoreError(
            f"The database {shown_url} says that its schema is {found!r}, which never was. Restore a copy."
        )
    if found > NEWEST:
        raise StoreError(
            f"The database {shown_url} was made by a newer version of unlearn-bench: its schema is {found}, this "
            f"version knows up to {NEWEST}. Install a newer version, or give --db the name of a new database."
        )
    with writer.begin() as connection:
        _alone(connection)
        if _version(connection, shown_url) == NEWEST:
            return  # another process was first
        copy = _copy(path, found) if path else None  # while no other writer can change anything
        _upgrade(connection, found)
    kept = f" What it was before is {copy}." if copy else ""
    warnings.warn(UpgradeNotice(f"The database {shown_url} was upgraded: {found} to {NEWEST}.{kept}"), stacklevel=2)


def _alone(connection: Connection) -> None:
    """Waits for other processes that make tables; SQLite's writers wait for each other anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('unlearn-bench schema'))"))


def _noted(connection: Connection) -> str | None:
    found: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    return found


def _version(connection: Connection, shown_url: str) -> str:
    """Returns the name of a database's schema; without one noted, the first release's, whose tables it must have."""
    inspector = inspect(connection)
    found = _noted(connection) if inspector.has_table(VERSION_TABLE) else None
    if found is not None:
        return found
    there = {
        table: {column["name"] for column in columns} for (_, table), columns in inspector.get_multi_columns().items()
    }
    lacking = [
        f"{table.name}.{column.name}"
        for table in Base.metadata.sorted_tables
        if table.name not in SINCE_FIRST
        for column in table.columns
        if f"{table.name}.{column.name}" not in SINCE_FIRST and column.name not in there.get(table.name, ())
    ]
    if lacking:
        raise StoreError(
            f"The database {shown_url} is older than the first release of unlearn-bench, or another program's: it "
            f"lacks {', '.join(lacking[:3])}{', …' if len(lacking) > 3 else ''}. Give --db the name of a new one."
        )
    return FIRST


def _upgrade(connection: Connection, found: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    if not inspect(connection).has_table(VERSION_TABLE):
        command.stamp(config, found)
    command.upgrade(config, NEWEST)


def _copy(path: Path, found: str) -> Path:
    """Returns the copy of an SQLite file, taken while others may read and write it."""
    target = path.with_name(f"{path.name}.{found}.bak")
    with durable(target) as part:
        try:
            with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(part)) as copied:
                source.backup(copied)
                copied.execute("PRAGMA journal_mode=DELETE")  # one file, that reading leaves alone
        except sqlite3.Error as problem:
            raise OSError(str(problem)) from None
    return target
