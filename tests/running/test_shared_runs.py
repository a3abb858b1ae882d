"""Runs whose weights and outputs lie in shared storage: a real S3 server on this machine, and one that fails."""

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import fsspec
import pytest
from support.s3_server import CREDENTIALS, Server, running

from unlearn_bench import cli
from unlearn_bench.checks.doctor import storage_findings
from unlearn_bench.config.benchmarks import Row, load
from unlearn_bench.config.selection import Choice
from unlearn_bench.core import artefact_cache, shared_storage
from unlearn_bench.core import logs as logbook
from unlearn_bench.core.errors import StorageError
from unlearn_bench.core.shared_storage import artefacts_at
from unlearn_bench.data import Dataset
from unlearn_bench.report.bench import Bench
from unlearn_bench.report.notes import not_stored
from unlearn_bench.running.guards.paths import forbidden_paths
from unlearn_bench.running.keeping import remove_unkept
from unlearn_bench.running.making import ExecutionConfig, make_runs
from unlearn_bench.running.recorded_models import network_of
from unlearn_bench.store import Store
from unlearn_bench.store.leases import Leases

ONE = Choice(forget=["1"])


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    pytest.importorskip("moto", reason="moto is not installed")
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    with running() as started:
        yield started


@pytest.fixture
def shared(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server without faults, with the environment that leads to it and an empty cache of copies."""
    server.faults()
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": server.url}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("UNLEARN_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shared_storage, "FIRST_DELAY", 0.01)
    yield server
    server.faults()


def bench_at(home: Path, artefacts: str, name: str = "shared") -> Bench:
    store = Store(f"sqlite:///{home / name / 'runs.sqlite'}", artefacts=artefacts)
    return Bench.choose(load(), store, ONE)


def values(bench: Bench) -> dict[str, dict[str, float]]:
    return {run.key: run.values for run in bench.store.runs() if run.forget == "1"}


def test_another_machine_goes_on_from_what_one_stored(
    shared: Server, trained: Bench, home: Path, execution: ExecutionConfig
) -> None:
    """One in ten requests fails, a byte of a download is flipped, and the values are those of a local folder."""
    bench = bench_at(home, "s3://bucket/one")
    shared.faults(every=10)
    assert make_runs(bench, [Row(method="original")], execution).made == ("done",)
    assert not bench.store.models_folder.exists(), "nothing remains beside the database"
    assert len(bench.store.model_files.names()) == len(bench.store.output_files.names()) == 1
    shutil.rmtree(artefact_cache.folder())
    shared.faults(every=10, flips=1)
    again = bench_at(home, "s3://bucket/one")
    assert make_runs(again, [Row(method="ft")], execution).made == ("done",), "the original is not made again"
    assert values(again) == values(trained)
    shutil.rmtree(artefact_cache.folder())
    ours, theirs = (network_of(store.runs(method="ft", forget="1")[0], store) for store in (trained.store, again.store))
    assert all((a == b).all() for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_a_damaged_object_is_made_again(shared: Server, home: Path, execution: ExecutionConfig) -> None:
    bench = bench_at(home, "s3://bucket/two")
    make_runs(bench, [Row(method="original")], execution)
    before = values(bench)
    shutil.rmtree(artefact_cache.folder())
    (run,) = bench.store.runs()
    assert run.model and run.model.file and run.model.file_digest
    shared.faults(flips=1000)  # every download of the object is damaged
    assert bench.store.model_files.find(run.model.file, run.model.file_digest) is None
    shared.faults()
    storage = fsspec.filesystem("s3")
    url = bench.store.model_files.locate(run.model.file)
    damaged = storage.cat_file(url)[:-1] + b"\0"  # the last byte of a number near 1 is another
    storage.pipe_file(url, damaged)
    outcome = make_runs(bench, [Row(method="ft_classifier")], execution)
    assert outcome.made == ("done", "done"), "the original and the run that starts from it"
    assert before.items() <= values(bench).items()
    assert storage.cat_file(url) != damaged


def test_methods_cannot_open_the_copies(bench: Bench, digits: Dataset) -> None:
    forbidden = forbidden_paths(bench.store, digits)
    assert {artefact_cache.folder().resolve(), bench.store.models_folder.resolve()} <= set(forbidden)


def run_main(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Returns what a command writes to standard error when it ends with exit code 2."""
    logbook.log.handlers.clear()
    monkeypatch.setattr(sys, "argv", ["unlearn-bench", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    logbook.log.handlers.clear()
    assert stop.value.code == 2
    return capsys.readouterr().err


@pytest.mark.usefixtures("shared")
def test_storage_that_is_not_there_is_one_sentence_and_no_run(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("run", "--method", "original", "--forget", "1", "--artefacts", "s3://nowhere/x")
    ended = run_main(monkeypatch, capsys, *words)
    assert ended.splitlines()[-1].startswith("s3://nowhere/x/models/.check-")
    assert "cannot be written: the bucket or folder does not exist. Check the URL" in ended
    refused = run_main(monkeypatch, capsys, *words[:-1], "s3://key:a-secret-key@bucket/x")
    assert "contains credentials or a query" in refused
    with closing(sqlite3.connect(home / "results" / "runs.sqlite")) as raw:
        assert raw.execute("SELECT count(*) FROM runs").fetchone() == (0,)
    written = [file for file in home.rglob("*") if file.is_file()]
    assert not [file for file in written if b"a-secret-key" in file.read_bytes()]
    assert "a-secret-key" not in ended + refused


def test_an_upload_that_fails_for_good_records_no_run(
    home: Path, execution: ExecutionConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = bench_at(home, "memory://gone", "gone")

    def refuse(*_arguments: object) -> None:
        raise PermissionError("Access Denied.")

    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.mv", refuse)
    with pytest.raises(StorageError, match="cannot be written: Access Denied"):
        make_runs(bench, [Row(method="original")], execution)
    assert bench.store.runs() == []


def test_checkpoints_are_left_out_only_when_no_run_needs_them(trained: Bench, execution: ExecutionConfig) -> None:
    store, said = trained.store, list[str]()
    keys = [run.key for run in store.runs()]
    remove_unkept(store, keys, "all", 0, said.append)
    remove_unkept(store, keys, "none", 1, said.append)
    with Leases(store) as busy:
        busy.take("0" * 64)
        remove_unkept(store, keys, "none", 0, said.append)
    assert len(store.model_files.names()) == 3 and len(said) == 2
    remove_unkept(store, keys, "references", 0, said.append)
    (original,) = {run.model.file for run in store.runs(method="original") if run.model}
    assert store.model_files.names() == {original}
    remove_unkept(store, keys, "none", 0, said.append)
    assert store.model_files.names() == set()
    assert said[-1] == "1 checkpoints removed (--keep none); a run that needs one makes it again."
    assert "does not exist: --keep left the checkpoint out" in not_stored(store.runs()[0], store)[0]
    assert make_runs(trained, [Row(method="ft")], execution).made == (), "values need no weights"


def test_the_doctor_tries_the_storage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert list(storage_findings()) == list(storage_findings(str(tmp_path))) == []
    monkeypatch.setenv("UNLEARN_BENCH_ARTEFACTS", "memory://checked")
    (good,) = storage_findings()
    assert (good.state, good.text) == ("ok", "memory://checked can be written, read and deleted")
    assert artefacts_at("memory://checked", "models").names() == set()

    def refuse(*_arguments: object) -> None:
        raise PermissionError("Access Denied.")

    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.rm_file", refuse)
    (bad,) = storage_findings()
    assert bad.state == "wrong" and "cannot be deleted: Access Denied." in bad.text
