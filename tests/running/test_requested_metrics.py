"""Metrics on request: no run has them until somebody asks, and a recorded run gets them from its outputs."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.benchmark import METRICS, SMALL, new_run
from support.invocation import invoke
from typer.testing import CliRunner

from unlearn_bench.cli import app
from unlearn_bench.config.benchmarks import Row, load
from unlearn_bench.core.errors import OptionError, UnknownNameError
from unlearn_bench.metrics import metrics, metrics_of, requested
from unlearn_bench.report.bench import Bench
from unlearn_bench.running.making import ExecutionConfig, make_runs, reproduce
from unlearn_bench.running.trials import oracle
from unlearn_bench.store.records import MetricRecord

WANTED = ["tpr_forget_1", "knn_forget", "da"]


def test_a_recorded_run_gets_a_metric_and_keeps_everything_else(trained: Bench, execution: ExecutionConfig) -> None:
    before = {run.key: run for run in trained.store.runs()}
    usual = {metric.name for metric in metrics_of("class")}
    assert all(run.values.keys() == usual for run in before.values())
    files = {file: file.stat().st_mtime_ns for file in trained.store.models_folder.iterdir()}
    outcome = make_runs(trained, [Row(method="ft")], execution, wanted=WANTED)
    assert (set(outcome.runs), outcome.made) == (set(before), ("done",) * len(before))
    after = {run.key: run for run in trained.store.runs()}
    assert after.keys() == before.keys(), "the metrics are no part of a run's identity"
    for key, run in after.items():
        assert run.values.keys() == usual | {"tpr_forget_1", "knn_forget"}
        assert {name: run.values[name] for name in usual} == before[key].values
        assert run.model == before[key].model, "nothing is trained again"
    assert {file: file.stat().st_mtime_ns for file in trained.store.models_folder.iterdir()} == files
    for names in (WANTED, ["knn_forget"], []):
        assert make_runs(trained, [Row(method="ft")], execution, wanted=names).made == ()


def test_a_table_asks_for_its_columns(trained: Bench, execution: ExecutionConfig, home: Path) -> None:
    (home / "benchmarks.yaml").write_text(SMALL.replace("rows: [original, retrained, ft, muda]", "rows: [original]"))
    bench = Bench.choose(load(), trained.store)
    reproduce(bench, [bench.benchmarks.table("3")], execution)
    assert all("knn_forget" not in run.values for run in bench.store.runs())
    bench = bench.with_columns(["3"], ["da", "knn_forget"])
    reproduce(bench, [bench.benchmarks.table("3")], execution)
    table = bench.table("3")
    assert [column.name for column in table.columns] == ["da", "lp_forget", "knn_forget"]
    assert all(cell.n == 2 for cell in table.rows[0].cells)
    shown = invoke("reproduce", "--table", "3", "--workers", "1", "--metric", "auc_forget")
    assert "AUC(D_f)" in shown and "k-NN(D_f)" not in shown
    for words, sentence in (
        (["--table", "3", "--metric", "asr"], "'asr' has no value in the scenario 'class'"),
        (["--figure", "3", "--metric", "da"], "--metric da adds a column to a table"),
    ):
        refused = CliRunner().invoke(app, ["reproduce", *words])
        assert sentence in str(refused.exception)


def test_a_wrong_name_or_scenario_stops_before_any_run(bench: Bench, execution: ExecutionConfig) -> None:
    with pytest.raises(OptionError, match=r"'asr' has no value in the scenario 'class': it is defined only in"):
        make_runs(bench, [Row(method="original")], execution, wanted=["asr"])
    with pytest.raises(UnknownNameError, match=r"Did you mean 'auc_forget'"):
        make_runs(bench, [Row(method="original")], execution, wanted=["auc_forgt"])
    with pytest.raises(OptionError, match=r"in the scenario 'list': no test images"):
        requested(["auc_forget"], "list")
    assert bench.store.runs() == []


def test_a_search_with_the_oracle_scores_the_usual_metrics_alone(bench: Bench) -> None:
    more = (*METRICS, MetricRecord("knn_forget", "k-NN", "%", "near retrained", ""))
    for method, values in (("muda", {"da": 0.5, "knn_forget": 90.0}), ("retrained", {"da": 0.6})):
        bench.store.record(replace(new_run(bench, method, "1", (0, 0)), values=values, metrics=more))
    (tried,), (retrained,) = (bench.store.runs(method=method) for method in ("muda", "retrained"))
    assert oracle({}, [tried], [retrained]).shares == pytest.approx({"da": 0.1})


def test_lists_say_which_metrics_are_on_request(home: object) -> None:
    listed = invoke("list", "metrics")
    for metric in metrics:
        line = next(line for line in listed.splitlines() if line.startswith(f"{metric.name} "))
        assert ("on request" in line) == metric.on_request
        assert ("in every run" in line) != metric.on_request
    assert "On request: give --metric NAME" in listed
    assert "Computed on request" in invoke("explain", "auc_forget")
    assert "Computed on request" not in invoke("explain", "mia")


def test_every_metric_on_request_says_what_it_shows_and_hides() -> None:
    asked = [metric for metric in metrics if metric.on_request and not metric.origin]
    assert len(asked) == 14
    for metric in asked:
        assert all([metric.shows, metric.hides, metric.without_reference, metric.source])
        assert metric.better == "near retrained"


def test_the_options_of_the_command_line(trained: Bench) -> None:
    shown = invoke("run", "--method", "ft", "--workers", "1", "--metric", "auc_forget")
    assert "auc_forget" in shown
    values = [run.values["auc_forget"] for run in trained.store.runs(method="ft")]
    assert len(values) == 2
    assert all(0 <= value <= 1 for value in values)
