"""The same record in a real PostgreSQL: one run a lease, the same numbers, a lost connection is a sentence."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from support.benchmark import new_run
from support.command import Command

from unlearn_bench.config.benchmarks import Row
from unlearn_bench.core.errors import StoreError, UpgradeNotice
from unlearn_bench.report.bench import Bench
from unlearn_bench.running.making import ExecutionConfig, make_runs
from unlearn_bench.store import Store, health
from unlearn_bench.store.leases import Leases
from unlearn_bench.store.records import ModelRecord

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
pytest.importorskip("psycopg", reason="psycopg is not installed")
pytestmark = pytest.mark.skipif(not BINARIES, reason="no PostgreSQL server is installed")


@dataclass(frozen=True)
class Server:
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/postgres"

    def command(self, program: str, *words: str) -> None:
        line = [str(BINARIES[-1] / program), "-D", str(self.folder), *words]
        if os.geteuid() == 0:  # which PostgreSQL refuses to run as
            line = ["runuser", "-u", "postgres", "--", *line]
        subprocess.run(line, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        self.command("pg_ctl", "-w", "-o", options, "-l", str(self.folder / "log"), "start")

    def stop(self) -> None:
        self.command("pg_ctl", "-w", "-m", "immediate", "stop")


@pytest.fixture
def server() -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    folder = Path(f"/tmp/unlearn-bench-test-{os.getpid()}-{port}")
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    found = Server(folder, port)
    found.command("initdb", "-A", "trust", "-U", "postgres", "--no-sync")
    found.start()
    yield found
    if (folder / "postmaster.pid").exists():
        found.stop()
    shutil.rmtree(folder)


def test_the_numbers_are_those_of_sqlite(bench: Bench, execution: ExecutionConfig, server: Server, home: Path) -> None:
    rows = [Row(method="retrained"), Row(method="ft")]
    make_runs(bench, rows, execution)
    expected = {run.key: run.values for run in bench.store.runs()}
    shutil.rmtree(home / "results")  # its checkpoints, which PostgreSQL's runs would lie beside
    other = replace(bench, store=Store(server.url))
    assert make_runs(other, rows, execution).failures == 0
    assert {run.key: run.values for run in other.store.runs()} == expected
    assert make_runs(other, rows, execution).made == ()
    assert (health.faults(other.store), health.unnamed_files(other.store)) == ([], [])


def test_times_are_utc_whatever_zone_the_server_keeps(bench: Bench, server: Server) -> None:
    store = Store(f"{server.url}?options=-c%20timezone=Asia/Tokyo")
    store.record(new_run(bench, "ft", "1", (0.5, 80.0)))
    (run,) = store.runs()
    assert abs((datetime.now(timezone.utc) - run.finished_at).total_seconds()) < 600


def test_processes_share_the_work(server: Server, home: Path) -> None:
    words = ("reproduce", "--table", "3", "--workers", "1", "--db", server.url)
    started = [Command(*words, folder=home) for _ in range(3)]
    errors = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], errors
    assert sum(text.count(": done") for text in errors) == 8
    store = Store(server.url)
    assert (store.count(), {run.status for run in store.runs()}) == (8, {"done"})
    assert health.dead_leases(store) == []


def test_a_claim_has_one_owner(server: Server) -> None:
    store = Store(server.url)
    with Leases(store) as first, Leases(store) as second:
        assert first.take("a")
        assert not second.take("a")
        assert second.of_others().keys() == {"a"}
        first.release("a")
        assert second.take("a")


def test_a_server_that_goes_away_is_a_sentence_and_one_that_comes_back_is_used(server: Server) -> None:
    store = Store(server.url)
    server.stop()
    with pytest.raises(StoreError, match="refused"):
        store.count()
    with pytest.raises(StoreError, match="cannot be opened"):
        Store(server.url)
    server.start()
    assert store.count() == 0


def test_counts_beyond_32_bits_are_recorded_in_a_database_of_an_older_schema_too(bench: Bench, server: Server) -> None:
    """A model of three billion images and five GiB, as on a GPU."""
    run = new_run(bench, "ft", "1", (0.5, 80.0))
    model = ModelRecord("k" * 64, None, None, None, 2**33, 1.0, 2**34, 2**35, 2**36, 5 * 2**30)
    Store(server.url).record(replace(run, model=replace(model, key="j" * 64)))
    counts = ("parameters", "samples_seen", "forward_images", "backward_images", "peak_memory_bytes")
    with create_engine(server.url).begin() as connection:
        connection.execute(text("DELETE FROM runs"))
        connection.execute(text("DELETE FROM models"))
        for name in counts:
            connection.execute(text(f"ALTER TABLE models ALTER COLUMN {name} TYPE INTEGER"))
        for name in ("likeness", "comparisons"):
            connection.execute(text(f"DROP TABLE {name}"))
        connection.execute(text("ALTER TABLE methods DROP COLUMN makes_inputs"))
        connection.execute(text("ALTER TABLE runs RENAME COLUMN requested_at TO asked_at"))
        connection.execute(text("ALTER TABLE forget_sets RENAME COLUMN scenario TO setting"))
        connection.execute(text("ALTER TABLE leases RENAME COLUMN heartbeat TO beat"))
        connection.execute(text("ALTER TABLE leases RENAME TO claims"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0002'"))
    with pytest.warns(UpgradeNotice, match="upgraded from schema 0002 to "):
        store = Store(server.url)
    store.record(replace(run, model=model))
    found = store.model(model.key)
    assert found is not None
    assert [getattr(found, name) for name in counts] == [2**33, 2**34, 2**35, 2**36, 5 * 2**30]
