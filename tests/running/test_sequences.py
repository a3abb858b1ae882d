"""Sequences of requests: each starts from the model after the one before, and is read against one retrained model."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from unlearn_bench.cli import app
from unlearn_bench.config.benchmarks import Row
from unlearn_bench.config.benchmarks import load as load_config
from unlearn_bench.config.selection import Choice
from unlearn_bench.core.errors import DataError, OptionError
from unlearn_bench.core.forget_words import canonical_forget, sequence_of
from unlearn_bench.data import Dataset
from unlearn_bench.data.loading import load
from unlearn_bench.data.scenarios import split_dataset
from unlearn_bench.report.bench import Bench
from unlearn_bench.running.making import ExecutionConfig, make_runs
from unlearn_bench.running.plan import make_plan
from unlearn_bench.running.tasks import method_data
from unlearn_bench.store.records import RunRecord


def after(bench: Bench, *forget: str) -> Bench:
    return Bench.choose(load_config(), bench.store, Choice(forget=forget))


def by_run(bench: Bench) -> dict[tuple[str, str], RunRecord]:
    return {(run.method, run.forget): run for run in bench.store.runs()}


def test_a_sequence_forgets_all_that_was_asked_for_and_asks_for_the_last(digits: Dataset) -> None:
    split, both, last = (split_dataset(digits, "class", words, {}) for words in ("3>1", "1,3", "1"))
    assert split.name == "3>1"
    assert torch.equal(split.forget, both.forget)
    assert torch.equal(split.request, last.forget)
    assert torch.equal(split.test_forget, both.test_forget)
    assert torch.equal(split.test_retain, both.test_retain)
    assert (split.classes, split.digest) == ((1, 3), both.digest)
    assert torch.equal(both.request, both.forget)
    retained = len(digits.train) - len(both.forget)
    assert split.share == len(last.forget) / (len(last.forget) + retained) < both.share
    assert sequence_of("3>1>5") == ["3", "3>1", "3>1>5"]
    assert split_dataset(digits, "class", "1,2>2,3", {}).classes == (1, 2, 3), "requests may share a class"
    assert canonical_forget("three > 1", "class", ["0", "1", "2", "three"], (), "d") == "3>1"


def test_overlapping_random_requests_ask_for_what_is_left(digits: Dataset) -> None:
    split = split_dataset(digits, "random", "30%>30%#2", {})
    one, two = (set(split_dataset(digits, "random", words, {}).forget.tolist()) for words in ("30%", "30%#2"))
    assert one & two
    assert set(split.forget.tolist()) == one | two
    assert set(split.request.tolist()) == two - one


@pytest.mark.parametrize(
    ("scenario", "words", "says"),
    [
        ("class", "1>1", "adds no images to the earlier ones"),
        ("class", "1>3,3", "names a class twice"),
        ("random", "5>5", "adds no images to the earlier ones"),
        ("class", "1>", "Class '' is not in digits"),
        ("backdoor", "1>2", "does not support the sequence '1>2'. Give one forget set."),
        ("class", ">".join("012345678"), "leaves 1 of 10 classes"),
    ],
)
def test_a_sequence_that_means_nothing_is_refused(digits: Dataset, scenario: str, words: str, says: str) -> None:
    with pytest.raises(DataError, match=says.replace(".", r"\.")):
        split_dataset(digits, scenario, words, {})


def test_incremental_learning_is_class_unlearning_read_backwards(bench: Bench, execution: ExecutionConfig) -> None:
    rows = [Row(method="original"), Row(method="retrained")]
    chosen = {"forget": ("1",)}
    make_runs(Bench.choose(load_config(), bench.store, Choice(**chosen)), rows, execution)
    outcome = make_runs(
        Bench.choose(load_config(), bench.store, Choice(scenario="incremental", **chosen)), rows, execution
    )
    assert outcome.made == ("done", "done")
    models = {run.model.key for run in bench.store.runs() if run.model}
    assert len(models) == 2, "θ_old is the retrained model and θ_new the original: nothing was trained again"


def test_a_method_is_given_what_is_asked_for_now_and_no_image_of_an_earlier_request(
    bench: Bench, digits: Dataset
) -> None:
    plan = make_plan(after(bench, "1>3").selection, [Row(method="muda")], digits, bench.store)
    titles = [(task.spec.method, task.spec.forget, task.start and task.start.spec.forget) for task in plan.tasks]
    assert titles == [
        ("original", "1", None),
        ("original", "1>3", None),
        ("muda", "1", "1"),
        ("muda", "1>3", "1"),
    ]
    last = plan.tasks[-1]
    assert last.start is not None
    assert last.start.spec.method == "muda"
    given = method_data(last, split_dataset(digits, "class", "1>3", {}))
    assert set(given.forget.labels.tolist()) == {3}
    assert {1, 3} & set(given.retain.labels.tolist()) == set()
    assert len(given.retain) == len(given.forget)


def test_each_step_starts_from_the_model_before_and_is_resumed_to_the_bit(
    bench: Bench, execution: ExecutionConfig
) -> None:
    sequence = after(bench, "1>3")
    rows = [Row(method="retrained"), Row(method="ft")]
    outcome = make_runs(sequence, rows, execution)
    assert outcome.failures == 0
    found = by_run(bench)
    assert set(found) == {(m, f) for m in ("original", "retrained", "ft") for f in ("1", "1>3")}
    # finetuning from the original on the same images gives another model than the second step of the sequence
    make_runs(after(bench, "1,3"), rows, execution)
    found = by_run(bench)
    assert found["retrained", "1>3"].model == found["retrained", "1,3"].model, "one retrained model for both"
    step, direct = found["ft", "1>3"].model, found["ft", "1,3"].model
    assert step and direct
    assert step.weights_digest != direct.weights_digest
    # all of the method's weights gone: the last step makes the one before anew, and comes out the same
    before = found["ft", "1>3"].values
    with sqlite3.connect(bench.store.path) as raw:
        raw.execute("PRAGMA foreign_keys=ON")
        raw.execute("DELETE FROM runs WHERE method = 'ft' AND forget = '1>3'")
    raw.close()
    for run in (found["ft", "1"], found["ft", "1>3"]):
        assert run.model
        assert run.model.file
        (bench.store.models_folder / run.model.file).unlink()
    outcome = make_runs(sequence, rows, execution)
    assert outcome.made == ("done", "done")  # the lost start first
    assert by_run(bench)["ft", "1>3"].values == before


def test_two_processes_keep_the_order_of_a_sequence(bench: Bench, execution: ExecutionConfig) -> None:
    outcome = make_runs(after(bench, "1>3>5"), [Row(method="ft")], replace(execution, workers=2))
    assert (outcome.failures, len(outcome.made)) == (0, 6)


def test_the_command_line_reads_then(home: Path) -> None:
    runner = CliRunner()
    made = runner.invoke(app, ["reproduce", "--table", "3", "--forget", "1", "--then", "3", "--workers", "1"])
    assert made.exit_code == 0, made.output
    shown = runner.invoke(app, ["report", "--table", "3", "--forget", "1", "--then", "3"])
    assert "1>3 (>: each request starts from the model after the previous one)" in shown.output
    refused = runner.invoke(app, ["report", "--table", "3", "--then", "3"])
    assert isinstance(refused.exception, OptionError)
    assert "--then 3 needs exactly one --forget, got 0." in str(refused.exception)


def test_subclasses_of_one_class_cannot_all_go_by_and_by() -> None:
    pairs = load("digit_pairs", folder=Path("nowhere"), train_per_class=48, test_per_class=16)
    with pytest.raises(DataError, match="contains the whole class"):
        split_dataset(pairs, "subclass", "2>3", {})
