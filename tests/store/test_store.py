"""The result database: opened safely, written by several at once, nothing lost."""

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timezone, tzinfo
from pathlib import Path
from threading import Barrier

import pytest
from support.benchmark import new_run

from unlearn_bench.core.errors import StoreError
from unlearn_bench.report.bench import Bench
from unlearn_bench.store import Store, rows


def test_writers_that_meet_on_a_new_database_lose_nothing(bench: Bench, tmp_path: Path) -> None:
    """Eight connections open a database that nobody has made yet and record runs that share every other row."""
    writers = 8
    for attempt in range(5):
        url = f"sqlite:///{tmp_path / f'new{attempt}.sqlite'}"
        together = Barrier(writers)

        def write(number: int, url: str = url, together: Barrier = together) -> None:
            together.wait()
            store = Store(url)
            for step in range(3):
                store.record(new_run(bench, "ft", "1", (0.5, number), options={"writer": number, "step": step}))

        with ThreadPoolExecutor(writers) as pool:
            for written in [pool.submit(write, number) for number in range(writers)]:
                written.result()
        runs = Store(url).runs()
        assert {(run.options["writer"], run.options["step"]) for run in runs} == {
            (writer, step) for writer in range(writers) for step in range(3)
        }
        assert all(run.values["lp_forget"] == run.options["writer"] for run in runs)


def test_a_run_that_cannot_be_written_whole_is_not_written_at_all(bench: Bench) -> None:
    broken = new_run(bench, "ft", "1", (0.5, 80.0))
    broken.values["unknown"] = 1.0  # no such metric: the foreign key refuses it, after the run itself was written
    with pytest.raises(StoreError, match="reports an error: FOREIGN KEY constraint failed"):
        bench.store.record(broken)
    assert bench.store.count() == 0
    assert bench.store.methods() == {}


def test_a_store_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="There is no database at"):
        Store(f"sqlite:///{tmp_path / 'none.sqlite'}", create=False)
    with pytest.raises(StoreError, match="'nonsense' is not a database URL"):
        Store("nonsense")
    with pytest.raises(StoreError, match=r"mysql://me:\*\*\*@here/x needs the Python module 'MySQLdb'"):
        Store("mysql://me:secret@here/x")
    (tmp_path / "text.sqlite").write_text("this is a text, not a database, and long enough to be told apart " * 20)
    with pytest.raises(StoreError, match="is not an SQLite database"):
        Store(f"sqlite:///{tmp_path / 'text.sqlite'}")


def test_the_database_is_safe_by_its_pragmas(bench: Bench) -> None:
    with bench.store._engine.connect() as connection:
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "foreign_keys")]
    assert found == ["wal", 1]


def test_a_database_older_than_the_first_release_is_refused_with_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "runs.sqlite"
    Store(f"sqlite:///{file}")
    with sqlite3.connect(file) as raw:
        raw.execute("DROP TABLE alembic_version")
        raw.execute("ALTER TABLE models DROP COLUMN trace_seconds")
    raw.close()
    with pytest.raises(
        StoreError, match=r"older than the first release of unlearn-bench .* lacks models\.trace_seconds"
    ):
        Store(f"sqlite:///{file}")


def test_a_database_in_a_folder_that_may_not_be_changed_can_be_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.store.record(new_run(bench, "muda", "1", (0.5, 80.0)))
    bench.store.close()
    assert bench.store.path
    folder = bench.store.path.parent
    before = sorted(file.name for file in folder.iterdir())
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    found = Store(bench.store.url, create=False)
    assert [run.values for run in found.runs()] == [{"da": 0.5, "lp_forget": 80.0}]
    with pytest.raises(StoreError, match="read-only"):
        found.mark_requested(["x" * 64])
    found.close()
    assert sorted(file.name for file in folder.iterdir()) == before


def test_the_last_asking_counts_whatever_the_clock_says(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables show, of two definitions, the one asked for last: a clock set back must not bring the other back."""
    old, new = (new_run(bench, "muda", "1", (value, 80.0), options={"lr": value}) for value in (0.1, 0.2))
    bench.store.record(old)
    bench.store.record(new)

    class SetBack(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "SetBack":
            return cls(2001, 1, 1, tzinfo=tz)

    monkeypatch.setattr(rows, "datetime", SetBack)

    def asked() -> dict[str, datetime]:
        return {run.key: run.requested_at for run in bench.store.runs()}

    bench.store.mark_requested([old.spec.key])
    assert asked()[old.spec.key] > asked()[new.spec.key]
    bench.store.mark_requested([new.spec.key, old.spec.key])
    assert asked()[old.spec.key] == asked()[new.spec.key] > datetime(2026, 1, 1, tzinfo=timezone.utc)
    bench.store.record(replace(new, values={}))
    assert asked()[old.spec.key] < asked()[new.spec.key]
