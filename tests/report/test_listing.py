"""Listings: for people, and with --json for programs; filters, order, what is left to do."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.benchmark import new_run
from support.command import command
from support.page import OPTIONS, fill

from unlearn_bench.cli.arguments import complete_names
from unlearn_bench.config.selection import Choice
from unlearn_bench.report.bench import Bench
from unlearn_bench.report.listing import progress_of
from unlearn_bench.store.records import ModelRecord


def listed(*arguments: str) -> list[dict[str, object]]:
    ran = command(*arguments, "--json")
    assert ran.returncode == 0, ran.stderr
    found: list[dict[str, object]] = json.loads(ran.stdout)
    return found


def test_runs_are_filtered_sorted_and_read_by_programs(bench: Bench) -> None:
    fill(bench)
    assert len(listed("runs")) == 8
    by_da = listed("runs", "--forget", "1", "--sort", "da")
    assert [(run["method"], run["da"]) for run in by_da] == [
        ("original", 0.5),
        ("ft", 0.55),
        ("muda", 0.89),
        ("retrained", 0.9),
    ]
    assert [run["forget"] for run in listed("runs", "--method", "muda", "--sort", "forget")] == ["1", "3"]
    assert listed("runs", "--seed", "7") == listed("runs", "--profile", "paper") == []
    assert "2 of 8 runs; list more with --limit." in command("runs", "--limit", "2").stdout
    odd = command("runs", "--sort", "dda")
    assert (odd.returncode, odd.stdout) == (2, "")
    assert "No column or metric named 'dda'. Did you mean 'da'?" in odd.stderr


def test_a_run_and_the_claims_for_programs(bench: Bench) -> None:
    fill(bench)
    shown = command("show", "1", "--json")
    assert shown.returncode == 0, shown.stderr
    found = json.loads(shown.stdout)
    assert (found["method"], found["values"]) == ("original", {"da": 0.5, "lp_forget": 98.0})
    assert listed("claims") == []


def test_status_says_what_is_left_from_recorded_times(bench: Bench) -> None:
    entry = bench.benchmarks.table("3")
    fill(bench)
    assert progress_of(bench.placed(entry), bench.store).seconds == 0
    more = Bench.choose(bench.benchmarks, bench.store, Choice(forget=["1", "3", "5"]))
    found = progress_of(more.placed(entry), more.store)
    assert (found.done, found.total, found.broken) == (8, 12, 0)
    assert found.seconds == pytest.approx(80 + 90 + 2 + 4)  # a run of each method, as long as its others took
    table = listed("status")[0]
    assert (table["table"], table["done"], table["of"], table["seconds left"]) == ("3", 8, 8, 0)


def test_status_of_a_method_without_a_run_knows_no_time(bench: Bench) -> None:
    for method in ("original", "retrained"):
        for forget in ("1", "3"):
            run = new_run(bench, method, forget, (0.5, 50.0), options=OPTIONS.get(method))
            model = ModelRecord(f"{method}{forget}", None, None, None, 1, 2.0, 1, 1, 1, None)
            bench.store.record(replace(run, model=model))
    assert progress_of(bench.placed(bench.benchmarks.table("3")), bench.store).seconds is None
    assert listed("status")[0]["seconds left"] is None


@pytest.mark.parametrize("kind", ["methods", "metrics", "datasets", "models", "scenarios", "tables", "profiles"])
def test_what_there_is_for_programs(home: Path, kind: str) -> None:
    found = listed("list", kind)
    assert found
    assert all(isinstance(each, dict) for each in found)


def test_explain_answers_for_metrics_too(home: Path) -> None:
    text = command("explain", "mia").stdout
    for part in ("mia: MIA", "logistic regression", "Can show: How many forgotten samples", "Cannot show: "):
        assert part in text
    odd = command("explain", "mmia")
    assert (odd.returncode, odd.stdout) == (2, "")
    assert "No method, metric, model, dataset or scenario named 'mmia'. Did you mean 'mia'?" in odd.stderr


def test_open_writes_the_page_beside_the_database(bench: Bench, home: Path) -> None:
    fill(bench)
    opened = command("open", BROWSER="true %s")  # a browser that does nothing
    assert opened.returncode == 0, opened.stderr
    assert (home / "results" / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_names_complete_from_the_nearest_benchmark(home: Path) -> None:
    assert complete_names("tables")("") == ["3"]
    assert complete_names("profiles")("ti") == ["tiny"]
    shown = subprocess.run(
        [sys.executable, "-c", "from unlearn_bench.cli import main; main()"],
        env={
            "_UNLEARN_BENCH_COMPLETE": "complete_bash",
            "COMP_WORDS": "unlearn-bench rep",
            "COMP_CWORD": "1",
            "PATH": "",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.stdout.split() in (["report", "reproduce"], []), shown.stderr
