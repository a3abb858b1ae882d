"""``doctor`` finds what was done to a record on purpose, and mends what loses nothing; logs, and what a bug says."""

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.command import command

from unlearn_bench import cli
from unlearn_bench.checks.doctor import Finding, database_findings, examine
from unlearn_bench.config.benchmarks import Row
from unlearn_bench.core import logs as logbook
from unlearn_bench.core.progress import silent
from unlearn_bench.report.bench import Bench
from unlearn_bench.running.making import ExecutionConfig, make_runs
from unlearn_bench.store import Store, health
from unlearn_bench.store.leases import Leases


def wrong(bench: Bench) -> list[Finding]:
    findings = database_findings(bench.store.url)
    return [finding for finding in findings if finding.state == "wrong" and finding.area != "disk"]


def change(bench: Bench, statement: str) -> None:
    assert bench.store.path
    with closing(sqlite3.connect(bench.store.path)) as raw, raw:
        raw.execute(statement)


def test_a_healthy_record_has_nothing_to_mend(trained: Bench) -> None:
    findings = list(examine(trained.benchmarks, trained.store.url, Path("nowhere"), silent))
    assert not [finding for finding in findings if finding.state == "wrong" and finding.area != "disk"]
    texts = [finding.text for finding in findings]
    assert any("intact, 4 runs" in text for text in texts)
    assert any("digits: 1,438 training and 359 test images" in text for text in texts)
    assert "cifar10 is not in nowhere" in texts


def test_damage_is_named_and_fixed_by_deleting_what_is_never_read(trained: Bench, execution: ExecutionConfig) -> None:
    values = {run.key: run.values for run in trained.store.runs()}
    file = next(trained.store.models_folder.iterdir())
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    orphan = trained.store.outputs_folder / f"{'0' * 64}.safetensors"
    orphan.write_bytes(b"left behind")
    found = wrong(trained)
    texts = {f"{file} differs from what was written", f"{orphan} belongs to no run"}
    assert {finding.text for finding in found} == texts
    for finding in found:
        assert finding.fix
        finding.fix()
    assert not file.exists() and not orphan.exists()
    assert wrong(trained) == []
    make_runs(trained, [Row(method="ft")], execution)
    assert {run.key: run.values for run in trained.store.runs()} == values


def test_files_of_a_process_at_work_are_left_alone(trained: Bench) -> None:
    file = trained.store.models_folder / f"{'0' * 64}.safetensors"
    file.write_bytes(b"its row comes next")
    with Leases(trained.store) as busy:
        busy.take("0" * 64)
        assert wrong(trained) == []
    assert [finding.text for finding in wrong(trained)] == [f"{file} belongs to no run"]


def test_files_of_another_database_in_the_same_folder_are_left_alone(trained: Bench) -> None:
    other = Store(trained.store.url.replace("runs.sqlite", "other.sqlite"))
    assert not [finding for finding in database_findings(other.url) if finding.fix]
    assert len(health.unnamed_files(other)) == 6, "they are the other's"


def test_a_file_that_is_no_database_is_wrong_and_a_missing_one_is_not(trained: Bench) -> None:
    assert trained.store.path
    broken = trained.store.path.with_name("broken.sqlite")
    broken.write_bytes(b"no database at all" * 100)
    assert [finding.state for finding in database_findings(f"sqlite:///{broken}")] == ["wrong"]
    assert [finding.state for finding in database_findings(f"sqlite:///{broken}.none")] == ["note"]


def test_rows_that_lost_their_like_are_named(trained: Bench) -> None:
    change(trained, "DELETE FROM models WHERE id = 1")
    change(trained, "DELETE FROM metric_values WHERE run_id = 2")
    texts = [finding.text for finding in wrong(trained)]
    assert any("belongs to a row of models that does not exist" in text for text in texts)
    assert any("is done and has no values" in text for text in texts)
    assert all(finding.fix is None for finding in wrong(trained) if finding.area == "database"), (
        "a row is never deleted"
    )


def test_the_command_exits_1_until_it_is_fixed(trained: Bench, home: Path) -> None:
    orphan = trained.store.models_folder / f"{'0' * 64}.safetensors"
    orphan.write_bytes(b"left behind")
    assert command("doctor", folder=home).returncode == 1
    fixed = command("doctor", "--fix", folder=home)
    assert (fixed.returncode, fixed.stdout.count("fixed"), orphan.exists()) == (0, 1, False)
    assert command("doctor", folder=home).stdout.endswith("No problems.\n")


# --- logs, and errors that nobody expected


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[None]:
    def fail(_config: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("unlearn_bench.cli.list.load_config", fail)
    logbook.log.handlers.clear()  # those of commands that an earlier test ran in this process
    yield
    logbook.log.handlers.clear()


def run_main(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["unlearn-bench", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(str(stop.value.code))


@pytest.mark.usefixtures("broken")
def test_a_bug_is_a_sentence_that_says_where_its_traceback_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    assert run_main(monkeypatch, "list", "methods", "--config", "sqlite://me:secret@host/db") == 1
    said = capsys.readouterr().err
    (file,) = (home / "logs").iterdir()
    assert said.startswith(
        f"Unexpected error, a bug in unlearn-bench: ZeroDivisionError: a bug\nThe traceback is in {file}"
    )
    assert "Traceback" not in said
    log = file.read_text()
    assert "Traceback (most recent call last)" in log and "unlearn-bench list methods" in log
    assert "secret" not in log


@pytest.mark.usefixtures("broken")
def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(monkeypatch, "--debug", "list", "methods") == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err
    assert run_main(monkeypatch, "list", "methods") == 1
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.usefixtures("broken")
def test_without_a_place_for_logs_a_bug_is_still_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], home: Path
) -> None:
    (home / "file").write_text("")
    for place in (str(home / "file" / "logs"), "/proc"):
        monkeypatch.setenv("UNLEARN_BENCH_LOGS", place)
        assert run_main(monkeypatch, "list", "methods") == 1
        assert "Run it again with `unlearn-bench --debug …` for the traceback" in capsys.readouterr().err
        logbook.log.handlers.clear()


def test_a_password_is_neither_shown_nor_kept(home: Path) -> None:
    for url in ("postgres://me:secret@h/db", "postgresql+psycopg://h/db?user=me&password=secret"):
        answer = command("runs", "--db", url, folder=home)
        assert answer.returncode == 2
        assert "secret" not in answer.stderr
    assert all("secret" not in file.read_text() for file in (home / "logs").iterdir())


def test_logs_are_rotated_and_only_made_where_there_is_something_to_keep(trained: Bench, home: Path) -> None:
    folder = home / "logs"
    folder.mkdir(exist_ok=True)
    for number in range(30):
        (folder / f"20000101-0000{number:02}-{2**22 + number}.log").write_text("old")
    (folder / "another program.log").write_text("not ours")
    assert command("list", "methods", folder=home).returncode == 0
    assert len(list(folder.iterdir())) == 31
    assert command("run", "--method", "muda", "--forget", "1", "--workers", "1", folder=home).returncode == 0
    kept = sorted(folder.glob("20*.log"))
    assert len(kept) == logbook.KEPT
    assert (folder / "another program.log").exists()
    assert "muda, digits, forget 1, seed 0: done" in kept[-1].read_text()
    assert os.environ["UNLEARN_BENCH_LOGS"] == str(folder)
