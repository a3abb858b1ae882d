"""A database of another program is refused and left as it is; what cannot be written says why."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.benchmark import new_run
from support.command import command

from unlearn_bench.core.errors import OptionError, StoreError
from unlearn_bench.report.bench import Bench
from unlearn_bench.store import Store, health
from unlearn_bench.store.mlflow import send_to_mlflow

FOREIGN = {  # as other programs make them
    "one table": "CREATE TABLE studies (id INTEGER)",
    "a table of runs": "CREATE TABLE runs (run_uuid TEXT); CREATE TABLE experiments (id INTEGER)",
    "migrated by Alembic": """
        CREATE TABLE runs (run_uuid TEXT); CREATE TABLE alembic_version (version_num TEXT);
        INSERT INTO alembic_version VALUES ('dc1148e3a1b2')""",
    "with a version like ours": """
        CREATE TABLE runs (key TEXT); CREATE TABLE alembic_version (version_num TEXT);
        INSERT INTO alembic_version VALUES ('0003')""",
    "in WAL mode": "PRAGMA journal_mode=WAL; CREATE TABLE notes (text TEXT)",
}


@pytest.mark.parametrize("create", [True, False], ids=["to write", "to read"])
@pytest.mark.parametrize("statements", FOREIGN.values(), ids=FOREIGN)
def test_a_database_of_another_program_is_refused_and_untouched(statements: str, create: bool, tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with closing(sqlite3.connect(file)) as raw:
        raw.executescript(statements)
    before = file.read_bytes()
    with pytest.raises(
        StoreError, match=r"belongs to another program: it has the tables .* Give --db the URL of a new"
    ):
        Store(f"sqlite:///{file}", create=create)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".bak"] == []


COMMANDS = ("runs", "report --table 3", "export x.csv", "doctor", "track", "train --forget 1", "import x.parquet")


def test_every_command_refuses_it(home: Path) -> None:
    file = home / "other.db"
    with closing(sqlite3.connect(file)) as raw:
        raw.executescript(FOREIGN["migrated by Alembic"])
    before = file.read_bytes()
    for line in COMMANDS:
        result = command(*line.split(), "--db", f"sqlite:///{file}")
        assert "belongs to another program" in result.stdout + result.stderr, line
        assert result.returncode == (1 if line == "doctor" else 2), line
        assert file.read_bytes() == before, line
    by_variable = command("runs", UNLEARN_BENCH_DB=f"sqlite:///{file}")
    assert by_variable.returncode == 2
    assert not (home / "x.csv").exists()


@pytest.mark.parametrize("content", [b"x", b"some notes", b"key,status\n" * 200, b"SQLite format 3\0", b"PAR1" * 99])
@pytest.mark.parametrize("create", [True, False], ids=["to write", "to read"])
def test_a_file_that_is_no_database_is_refused_and_untouched(content: bytes, create: bool, tmp_path: Path) -> None:
    """SQLite itself overwrites a file of one byte."""
    (tmp_path / "file.txt").write_bytes(content)
    with pytest.raises(StoreError, match=r"is not an SQLite database|it is damaged, or encrypted"):
        Store(f"sqlite:///{tmp_path / 'file.txt'}", create=create)
    assert (tmp_path / "file.txt").read_bytes() == content


def test_a_folder_is_refused_and_an_empty_file_becomes_a_database(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"is a folder\. Give --db the URL of a file: sqlite:///.*/runs\.sqlite"):
        Store(f"sqlite:///{tmp_path}", create=False)
    (tmp_path / "empty.db").touch()
    assert Store(f"sqlite:///{tmp_path / 'empty.db'}").count() == 0


@pytest.fixture
def closed(bench: Bench) -> Iterator[Path]:
    bench.store.record(new_run(bench, "muda", "1", (0.5, 80.0)))
    bench.store.close()
    assert bench.store.path
    yield bench.store.path


@pytest.mark.parametrize("part", ["the file", "its folder"])
def test_a_read_only_database_says_so(part: str, closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = closed if part == "the file" else closed.parent
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != locked)  # root may write anywhere
    with pytest.raises(StoreError, match=rf"runs\.sqlite is read-only: .* to write to {part}\. Change the permissions"):
        Store(f"sqlite:///{closed}")
    assert Store(f"sqlite:///{closed}", create=False).count() == 1


def test_a_new_database_in_a_read_only_folder_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, _mode: Path(path) != tmp_path)
    with pytest.raises(StoreError, match=r"new\.sqlite is read-only: you have no permission to write to its folder"):
        Store(f"sqlite:///{tmp_path / 'new.sqlite'}")
    assert list(tmp_path.iterdir()) == []


BAD_URIS = {
    "file://{home}/mlruns": "not write to folders such as file://{home}/mlruns. Give --uri sqlite:///{home}/mlruns.db",
    "{home}/my runs": "not write to folders such as {home}/my runs. Give --uri sqlite:///{home}/my runs.db",
    "ftp://me:secret@x": "MLflow does not know the URI ftp://me:***@x. Give --uri http://HOST:PORT or sqlite:///",
    "http://me:secret@127.0.0.1:9": "MLflow at http://me:***@127.0.0.1:9 cannot be reached. Start the server, or",
    "sqlite:///{home}/results/runs.sqlite": "is a database of unlearn-bench, and MLflow would change it. Give --uri",
}


def test_a_damaged_value_is_one_sentence(bench: Bench) -> None:
    bench.store.record(new_run(bench, "ft", "1", (0.5, 80.0)))
    assert bench.store.path
    with closing(sqlite3.connect(bench.store.path)) as raw, raw:
        raw.execute("UPDATE runs SET finished_at = 'yesterday'")
    with pytest.raises(StoreError, match=r"has a value that cannot be read: .*yesterday.*\. Restore a copy of it\.$"):
        bench.store.runs()


@pytest.mark.parametrize("uri", BAD_URIS)
def test_a_uri_that_mlflow_refuses_is_one_sentence_of_ours(
    uri: str, bench: Bench, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow.tracking", reason="mlflow is not installed")
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(OptionError) as caught:
        send_to_mlflow(bench.store.runs(), uri.format(home=home), "mine", lambda *_step: None)
    assert BAD_URIS[uri].format(home=home) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_the_uri_that_the_sentence_gives_works(bench: Bench, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow.tracking", reason="mlflow is not installed")
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    bench.store.record(new_run(bench, "muda", "1", (0.5, 80.0)))
    with pytest.raises(OptionError) as caught:
        send_to_mlflow(bench.store.runs(), f"file://{home}/mlruns", "mine", lambda *_step: None)
    uri = str(caught.value).split("--uri ")[1]
    for sent in (1, 0):
        assert send_to_mlflow(bench.store.runs(), uri, "mine", lambda *_step: None) == sent


def test_a_second_look_at_a_database_keeps_the_locks_of_the_first(bench: Bench) -> None:
    """Otherwise another process takes itself for the last one, and deletes the log that this process writes to."""
    first = bench.store
    assert first.path
    first.record(new_run(bench, "ft", "1", (0.5, 80.0)))
    second = Store(first.url)
    second.record(new_run(bench, "ft", "3", (0.5, 80.0)))
    health.is_alone(second)
    other = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT key FROM runs').fetchall(); c.close()"
    )
    subprocess.run([sys.executable, "-c", other, str(first.path)], check=True)
    assert first.path.with_name("runs.sqlite-wal").exists()
    first.record(new_run(bench, "muda", "1", (0.5, 80.0)))
    counted = (
        "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM runs').fetchone()[0])"
    )
    seen = subprocess.run([sys.executable, "-c", counted, str(first.path)], check=True, capture_output=True, text=True)
    assert int(seen.stdout) == 3
