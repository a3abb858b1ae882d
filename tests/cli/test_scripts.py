"""What a script reads from the command line is whole, and a file holds what its name says."""

import csv
import json
from pathlib import Path

import pytest
from support.benchmark import new_run
from support.command import command

from unlearn_bench.cli.runs import SHOWN
from unlearn_bench.core.environment import code_version
from unlearn_bench.report.bench import Bench

MANY = SHOWN + 5


@pytest.fixture
def many(bench: Bench) -> Bench:
    for number in range(MANY):
        bench.store.record(new_run(bench, "muda", "1", (number / 100, 80.0), options={"lr": number}))
    return bench


def test_json_lists_every_run(many: Bench) -> None:
    assert len(json.loads(command("runs", "--json").stdout)) == MANY
    assert len(json.loads(command("runs", "--json", "--method", "muda", "--sort", "da").stdout)) == MANY


def test_a_part_of_the_runs_is_said(many: Bench) -> None:
    asked = command("runs", "--json", "--limit", "2")
    assert len(json.loads(asked.stdout)) == 2
    assert f"2 of {MANY} runs; list more with --limit." in asked.stderr
    listed = command("runs")
    assert f"{SHOWN} of {MANY} runs; list more with --limit." in listed.stdout
    assert "list more" not in command("runs", "--limit", str(MANY)).stdout


def test_a_filter_without_a_match_is_said(bench: Bench) -> None:
    bench.store.record(new_run(bench, "muda", "1", (0.5, 80.0)))
    none = command("runs", "--json", "--method", "mudda")
    assert json.loads(none.stdout) == []
    assert "No recorded run matches, of 1." in none.stderr
    wrong = command("runs", "--status", "dnoe")
    assert wrong.returncode == 2
    assert "No status named 'dnoe'. Did you mean 'done'?" in wrong.stderr


@pytest.mark.parametrize("name", ["runs.csv", "RUNS.CSV"])
def test_a_csv_file_is_csv(name: str, bench: Bench, home: Path) -> None:
    bench.store.record(new_run(bench, "muda", "1", (0.1 + 0.2, 80.0)))
    bench.store.record(new_run(bench, "muda", "=1+1", (0.0, 0.0), status="diverged"))
    for _ in range(2):  # an export replaces an older one
        assert command("export", name).returncode == 0
    with (home / name).open(encoding="utf-8", newline="") as stream:
        done, diverged = csv.DictReader(stream)
    assert (done["method"], float(done["da"]), done["seed"]) == ("muda", 0.1 + 0.2, "0")
    assert (diverged["forget"], diverged["da"]) == ("'=1+1", ""), "a spreadsheet executes no formula"
    back = command("import", name, "--db", "sqlite:///other.sqlite")
    assert (back.returncode, back.stderr.count("\n")) == (2, 1)
    assert "is a CSV file, which lacks the records of runs" in back.stderr


@pytest.mark.parametrize("name", ["runs.xlsx", "runs", "runs.json", "runs.csv.gz", "results/runs.sqlite", ".parquet"])
def test_other_endings_are_refused_and_nothing_is_written(name: str, bench: Bench, home: Path) -> None:
    bench.store.record(new_run(bench, "muda", "1", (0.5, 80.0)))
    existed = (home / name).exists()
    result = command("export", name)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "its name must end in .parquet" in result.stderr
    assert (home / name).exists() == existed


@pytest.mark.parametrize("name", ["notes.csv", "notes.parquet"])
def test_a_file_of_somebody_else_is_not_replaced(name: str, bench: Bench, home: Path) -> None:
    bench.store.record(new_run(bench, "muda", "1", (0.5, 80.0)))
    (home / name).write_text("name,phone\n")
    assert f"is not a {name[6:]} file of runs. Choose another file." in command("export", name).stderr
    assert (home / name).read_text() == "name,phone\n"


def test_a_report_has_the_format_of_its_files_ending(bench: Bench, home: Path) -> None:
    for method, forget in (("retrained", "1"), ("retrained", "3"), ("ft", "1")):
        bench.store.record(new_run(bench, method, forget, (0.5, 80.0)))
    report = ("report", "--table", "3", "--output")
    starts = {
        "a.csv": "method,",
        "a.json": "[",
        "a.md": "### Table 3",
        "a.tex": "% Images",
        "a.txt": "Table 3",
        "a": "Ta",
    }
    for name, start in starts.items():
        assert command(*report, name).returncode == 0
        assert (home / name).read_text().lstrip().startswith(start), name
    for words, sentence in {
        ("b.pdf",): "--output b.pdf ends in none of .txt, .md",
        ("b.html",): "write a page with --html",
        ("b.csv", "--format", "json"): "--output b.csv ends as csv does, and --format is json.",
    }.items():
        refused = command(*report, *words)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert sentence in refused.stderr
        assert not (home / words[0]).exists()
    assert command(*report, "c.out", "--format", "csv").returncode == 0


def test_claims_have_one_format(bench: Bench) -> None:
    refused = command("claims", "--json", "--format", "text")
    assert refused.returncode == 2
    assert "--json and --format text exclude each other" in refused.stderr


def test_the_version_is_printed() -> None:
    shown = command("--version")
    assert (shown.returncode, shown.stdout) == (0, f"unlearn-bench {code_version()}\n")
