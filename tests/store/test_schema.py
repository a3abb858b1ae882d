"""A database of the first release is upgraded after a copy, a newer one is refused, and nothing of either is lost."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from unlearn_bench.core.errors import FileError, StoreError, UpgradeNotice
from unlearn_bench.store import Store, schema
from unlearn_bench.store.schema import NEWEST

# made at 3b0133a: ft_classifier on digits
FIRST_RELEASE = Path(__file__).parents[1] / "fixtures" / "first-release.sqlite"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    file = tmp_path / "runs.sqlite"
    file.write_bytes(FIRST_RELEASE.read_bytes())
    return file


def query(file: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(file)) as raw:
        return raw.execute(statement).fetchall()


def shape(file: Path) -> dict[str, Any]:
    """Every table's columns (name, type, not null, key) and every index."""
    tables = [name for (name,) in query(file, "SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {name: sorted(row[1:4] + row[5:] for row in query(file, f"PRAGMA table_info({name})")) for name in tables}
    return found | {"indexes": sorted(query(file, "SELECT name, tbl_name FROM sqlite_master WHERE type = 'index'"))}


def test_the_first_release_is_upgraded_after_a_copy(old: Path) -> None:
    values = query(old, "SELECT * FROM metric_values ORDER BY run_id, metric")
    with pytest.warns(
        UpgradeNotice, match=r"upgraded from schema 0001 to .*A copy of the old database is .*runs\.sqlite\.0001\.bak"
    ):
        store = Store(f"sqlite:///{old}")
    assert len(values) == 16
    assert query(old, "SELECT * FROM metric_values ORDER BY run_id, metric") == values
    assert [(run.method, run.status, len(run.values)) for run in store.runs()] == [
        ("ft_classifier", "done", 8),
        ("original", "done", 8),
    ]
    copy = old.with_name("runs.sqlite.0001.bak")
    assert query(copy, "SELECT * FROM metric_values ORDER BY run_id, metric") == values
    assert not query(copy, "SELECT name FROM sqlite_master WHERE name = 'claims'")


@pytest.mark.filterwarnings("ignore::unlearn_bench.core.errors.UpgradeNotice")
def test_an_upgraded_database_has_the_schema_of_a_new_one(old: Path, tmp_path: Path) -> None:
    Store(f"sqlite:///{old}")
    Store(f"sqlite:///{tmp_path / 'new.sqlite'}")
    assert shape(old) == shape(tmp_path / "new.sqlite")
    assert query(old, "SELECT version_num FROM alembic_version") == [(NEWEST,)]


@pytest.mark.filterwarnings("error")
def test_an_upgraded_database_is_not_upgraded_again(old: Path) -> None:
    with pytest.warns(UpgradeNotice):
        Store(f"sqlite:///{old}")
    old.with_name("runs.sqlite.0001.bak").unlink()
    Store(f"sqlite:///{old}", create=False)
    assert not old.with_name("runs.sqlite.0001.bak").exists()


def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "runs.sqlite"
    Store(f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as raw, raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    before = shape(file)
    with pytest.raises(StoreError, match=r"newer version of unlearn-bench: its schema version is 9999, .* up to 00"):
        Store(f"sqlite:///{file}")
    assert shape(file) == before


def test_without_room_for_the_copy_nothing_is_upgraded(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, found: str) -> Path:
        raise FileError("no room")

    monkeypatch.setattr(schema, "_copy", full)
    before = old.read_bytes()
    with pytest.raises(FileError):
        Store(f"sqlite:///{old}")
    assert old.read_bytes() == before


def test_a_copy_that_sqlite_cannot_make_is_a_sentence(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def __init__(self, *_: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(schema.sqlite3, "connect", Full)
    before = old.read_bytes()
    with pytest.raises(FileError, match="disk is full"):
        schema._copy(old, "0001")
    assert (old.read_bytes(), old.with_name("runs.sqlite.0001.bak").exists()) == (before, False)


def test_the_copy_is_what_was_there_before_even_if_another_process_upgrades_first(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second process reads the old version, then the first one upgrades: the second must not copy the result."""
    found, first = schema._version, []

    def late(connection: Any, shown_url: str) -> str:
        version = found(connection, shown_url)
        if not first:
            first.append(True)
            connection.rollback()
            with pytest.warns(UpgradeNotice):
                Store(f"sqlite:///{old}")
        return version

    monkeypatch.setattr(schema, "_version", late)
    Store(f"sqlite:///{old}")
    copy = old.with_name("runs.sqlite.0001.bak")
    assert not query(copy, "SELECT name FROM sqlite_master WHERE name IN ('claims', 'alembic_version')")


def test_an_upgrade_that_fails_changes_nothing(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(connection: Any, found: str) -> None:
        connection.exec_driver_sql("DROP TABLE metric_values")
        raise KeyboardInterrupt

    monkeypatch.setattr(schema, "_upgrade", broken)
    before = query(old, "SELECT * FROM metric_values ORDER BY run_id, metric")
    with pytest.raises(KeyboardInterrupt):
        Store(f"sqlite:///{old}")
    assert query(old, "SELECT * FROM metric_values ORDER BY run_id, metric") == before


def test_the_newest_migration_is_the_schema_that_new_databases_note() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [NEWEST]
