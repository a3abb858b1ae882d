"""The schema version of a database, and its upgrade to the schema of this version."""

from __future__ import annotations

import re
import sqlite3
import warnings
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from unlearn_bench.core.errors import StoreError, UpgradeNotice
from unlearn_bench.core.files import atomic_write
from unlearn_bench.store.tables import Base, ComparisonRow, LeaseRow, LikenessRow, RunRow

FIRST, NEWEST = "0001", "0006"  # of store/migrations/versions
VERSION_TABLE = "alembic_version"
IDENTITY = ("key", "experiment_key", "spec")  # columns of runs that every version has
# tables and columns that were added or renamed after the first release
SINCE_FIRST = {row.__tablename__ for row in (LeaseRow, ComparisonRow, LikenessRow)}
SINCE_FIRST |= {"methods.makes_inputs", "forget_sets.scenario", "runs.requested_at"}


def has_runs(engine: Engine, shown_url: str) -> bool:
    """Returns whether a database has the tables of this package; if not, it is empty.

    Raises:
        StoreError: the database belongs to another program, which may have a table of runs too. It is not changed.
    """
    inspector = inspect(engine)
    tables = inspector.get_table_names()
    if RunRow.__tablename__ in tables:
        own = {column["name"] for column in inspector.get_columns(RunRow.__tablename__)}
        if set(IDENTITY) <= own:
            return True
    if tables:
        names = ", ".join(sorted(tables)[:3]) + (", …" if len(tables) > 3 else "")
        raise StoreError(
            f"The database {shown_url} belongs to another program: it has the tables {names} and no runs of "
            "unlearn-bench. Give --db the URL of a new database."
        )
    return False


def create(connection: Connection) -> None:
    """Creates every table of the newest schema, and records the schema version."""
    _lock(connection)
    Base.metadata.create_all(connection)
    # the same table as Alembic creates, without the time to import Alembic
    key = f"CONSTRAINT {VERSION_TABLE}_pkc PRIMARY KEY (version_num)"
    connection.execute(text(f"CREATE TABLE IF NOT EXISTS {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL, {key})"))
    if _recorded_version(connection) is None:
        connection.execute(text(f"INSERT INTO {VERSION_TABLE} VALUES (:version)"), {"version": NEWEST})


def bring_up(engine: Engine, writer: Engine, path: Path | None, shown_url: str) -> None:
    """Upgrades a database to the newest schema, if it has an older one.

    An SQLite file is copied first, to the same folder. Other databases are upgraded in one transaction, without a copy.

    Args:
        engine: engine for reading.
        writer: engine whose transactions write.
        path: path of an SQLite file; None for other databases.
        shown_url: URL without password, for messages.

    Raises:
        StoreError: the database is newer than this version of the package, or older than the first release.
        FileError: there is no space for the copy; the database is unchanged.
    """
    with engine.connect() as connection:
        version = _version(connection, shown_url)
    if version == NEWEST:
        return
    if not re.fullmatch(r"\d{4}", version) or version < FIRST:
        raise StoreError(
            f"The database {shown_url} has the schema version {version!r}, which does not exist. Restore a copy."
        )
    if version > NEWEST:
        raise StoreError(
            f"The database {shown_url} was made by a newer version of unlearn-bench: its schema version is {version}, "
            f"this version supports up to {NEWEST}. Install a newer version, or give --db the URL of a new database."
        )
    with writer.begin() as connection:
        _lock(connection)
        if _version(connection, shown_url) == NEWEST:
            return  # another process has upgraded the database
        copy = _copy(path, version) if path else None  # the transaction excludes other writers
        _upgrade(connection, version)
    kept = f" A copy of the old database is {copy}." if copy else ""
    notice = f"The database {shown_url} was upgraded from schema {version} to {NEWEST}.{kept}"
    warnings.warn(UpgradeNotice(notice), stacklevel=2)


def _lock(connection: Connection) -> None:
    """Waits until no other process creates or upgrades tables. Writers of SQLite always wait for each other."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('unlearn-bench schema'))"))


def _recorded_version(connection: Connection) -> str | None:
    version: str | None = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    return version


def _version(connection: Connection, shown_url: str) -> str:
    """Returns the schema version of a database; if none is recorded, the first, after checking for its tables."""
    inspector = inspect(connection)
    version = _recorded_version(connection) if inspector.has_table(VERSION_TABLE) else None
    if version is not None:
        return version
    existing = {
        table: {column["name"] for column in columns} for (_, table), columns in inspector.get_multi_columns().items()
    }
    lacking = [
        f"{table.name}.{column.name}"
        for table in Base.metadata.sorted_tables
        if table.name not in SINCE_FIRST
        for column in table.columns
        if f"{table.name}.{column.name}" not in SINCE_FIRST and column.name not in existing.get(table.name, ())
    ]
    if lacking:
        raise StoreError(
            f"The database {shown_url} is older than the first release of unlearn-bench or belongs to another program: "
            f"it lacks {', '.join(lacking[:3])}{', …' if len(lacking) > 3 else ''}. Give --db the URL of a new one."
        )
    return FIRST


def _upgrade(connection: Connection, version: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    if not inspect(connection).has_table(VERSION_TABLE):
        command.stamp(config, version)
    command.upgrade(config, NEWEST)


def _copy(path: Path, version: str) -> Path:
    """Copies an SQLite file, which other processes can use meanwhile, and returns the path of the copy."""
    target = path.with_name(f"{path.name}.{version}.bak")
    with atomic_write(target) as part:
        try:
            with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(part)) as copied:
                source.backup(copied)
                copied.execute("PRAGMA journal_mode=DELETE")  # a single file, which readers do not change
        except sqlite3.Error as problem:
            raise OSError(str(problem)) from None
    return target
