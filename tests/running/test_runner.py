"""Runs end to end on real images: recorded once, repeated to the bit, healed where something is missing."""

import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
import torch
from sqlalchemy import delete

from unlearn_bench.config.benchmarks import Row
from unlearn_bench.config.selection import Choice
from unlearn_bench.core.errors import DataError, MissingRunError, OptionError
from unlearn_bench.data.loading import load as load_images
from unlearn_bench.data.scenarios import scenarios
from unlearn_bench.metrics import metrics, metrics_of
from unlearn_bench.report.bench import Bench
from unlearn_bench.running.executors import local
from unlearn_bench.running.making import ExecutionConfig, make_runs, with_method
from unlearn_bench.running.plan import make_plan
from unlearn_bench.running.runner import Runner
from unlearn_bench.running.tasks import retain_subset
from unlearn_bench.store import Store
from unlearn_bench.store.leases import Leases
from unlearn_bench.store.tables import RunRow

ROWS = [Row(method=name) for name in ("retrained", "original", "ft", "ft_classifier", "neggrad", "muda")]


def values(bench: Bench) -> dict[str, dict[str, float]]:
    return {run.key: run.values for run in bench.store.runs()}


def test_every_method_is_recorded_once_with_all_metrics(bench: Bench, execution: ExecutionConfig) -> None:
    outcome = make_runs(bench, ROWS, execution)
    assert (len(outcome.runs), outcome.made, outcome.failures) == (12, ("done",) * 12, 0)
    runs = bench.store.runs()
    own = {metric.name for metric in metrics_of("class")}
    assert all(set(run.values) == own for run in runs)
    assert all(run.model and run.model.method_seconds > 0 and run.model.samples_seen > 0 for run in runs)
    originals = [run for run in runs if run.method == "original"]
    assert len({run.model.key for run in originals if run.model}) == 1, (
        "the original is trained once for all forget sets"
    )
    assert len(list(bench.store.models_folder.iterdir())) == 11
    again = make_runs(bench, ROWS, execution)
    assert (again.runs, again.made) == (outcome.runs, ())


def test_a_cheat_of_the_head_leaves_feature_metrics_to_the_last_digit(bench: Bench, execution: ExecutionConfig) -> None:
    make_runs(bench, [Row(method="ft_classifier")], execution)
    by_method = {(run.method, run.forget): run.values for run in bench.store.runs()}
    for name in ("da", "lp_forget", "lp_retain", "f1", "nmi"):
        assert by_method["ft_classifier", "1"][name] == by_method["original", "1"][name]


def test_deleted_runs_are_made_again_to_the_bit(bench: Bench, execution: ExecutionConfig) -> None:
    make_runs(bench, ROWS, execution)
    before = values(bench)
    # the newest run, whose number SQLite would give away again; as a person would, in a shell without foreign keys
    victim = bench.store.runs()[0]
    with sqlite3.connect(bench.store.path) as raw:
        raw.execute("DELETE FROM runs WHERE id = ?", (victim.id,))
    raw.close()
    said: list[str] = []
    make_runs(bench, ROWS, replace(execution, say=said.append))
    assert said == [f"[1/1] {victim.method}, digits, forget {victim.forget}, seed 0: done"]
    assert values(bench) == before
    # the same with the checkpoint gone too: the method itself runs again
    with sqlite3.connect(bench.store.path) as raw:
        raw.execute("DELETE FROM metric_values")
        raw.execute("DELETE FROM runs")
    raw.close()
    for file in bench.store.models_folder.iterdir():
        file.unlink()
    make_runs(bench, ROWS, execution)
    assert values(bench) == before


def test_several_processes_give_the_same_numbers(bench: Bench, execution: ExecutionConfig, tmp_path: Path) -> None:
    make_runs(bench, ROWS, execution)
    other = replace(bench, store=Store(f"sqlite:///{tmp_path / 'other' / 'runs.sqlite'}"))
    seen: list[tuple[str, int, int]] = []
    outcome = make_runs(other, ROWS, replace(execution, workers=2, progress=lambda *step: seen.append(step)))
    assert outcome.failures == 0
    assert values(other) == values(bench)
    assert any("retrained" in task for task, _, _ in seen)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_repeats_itself(bench: Bench, execution: ExecutionConfig, tmp_path: Path) -> None:
    other = replace(bench, store=Store(f"sqlite:///{tmp_path / 'other' / 'runs.sqlite'}"))
    for each, workers in ((bench, 1), (other, 2)):
        make_runs(each, ROWS, replace(execution, device="cuda", workers=workers))
    assert values(other) == values(bench)


def test_a_damaged_checkpoint_is_never_used(bench: Bench, execution: ExecutionConfig) -> None:
    make_runs(bench, [Row(method="original")], execution)
    (file,) = bench.store.models_folder.iterdir()
    content = bytearray(file.read_bytes())
    intact = bytes(content)
    content[-5] ^= 1
    file.write_bytes(content)
    make_runs(bench, [Row(method="ft")], execution)
    assert file.read_bytes() == intact, "made again, bit for bit"


def test_divergence_is_recorded_and_not_repeated(bench: Bench, execution: ExecutionConfig) -> None:
    changed, row = with_method(bench, "neggrad", options={"lr": "10", "epochs": "500"})
    outcome = make_runs(changed, [row], execution)
    assert outcome.made.count("diverged") == 2
    assert outcome.failures == 2
    run = bench.store.runs(status="diverged")[0]
    assert run.error
    assert "steps" in run.error
    assert run.values == {}
    again = make_runs(changed, [row], execution)
    assert (again.made, again.failures) == ((), 2)


def test_a_failing_method_is_recorded_and_tried_again(bench: Bench, execution: ExecutionConfig) -> None:
    def broken(_outputs: object) -> float:
        raise ZeroDivisionError("no")

    entry = metrics.get("da")
    with metrics.temporarily(replace(entry, function=broken)):
        assert make_runs(bench, [Row(method="original")], execution).made == ("failed", "failed")
    assert bench.store.runs()[0].error == "ZeroDivisionError: no"
    assert make_runs(bench, [Row(method="original")], execution).made == ("done", "done")


def test_what_failed_in_another_process_meanwhile_is_not_tried_again(
    bench: Bench, execution: ExecutionConfig, register: Callable[..., ExitStack]
) -> None:
    """One that had failed before is: only the failure of this very attempt counts."""

    def broken(_outputs: object) -> float:
        raise ZeroDivisionError("no")

    register(metrics, replace(metrics.get("da"), function=broken))
    selection, rows = bench.selection, [Row(method="original")]
    dataset = load_images("digits", folder=Path("nowhere"), train_per_class=24, test_per_class=8)
    before = make_plan(selection, rows, dataset, bench.store)
    assert [before.still_missing(task, bench.store) for task in before.missing] == [True, True]
    assert make_runs(bench, rows, execution).made == ("failed", "failed")
    assert [before.still_missing(task, bench.store) for task in before.missing] == [False, False]
    after = make_plan(selection, rows, dataset, bench.store)
    assert [after.still_missing(task, bench.store) for task in after.missing] == [True, True]


def test_lost_weights_that_others_start_from_are_a_run_of_their_own(bench: Bench, execution: ExecutionConfig) -> None:
    """So that of several processes one makes them; what needs none of them is left alone."""
    make_runs(bench, ROWS, execution)
    before, said = values(bench), []
    bench.store.write(lambda session: session.execute(delete(RunRow).where(RunRow.method == "ft")))
    for file in bench.store.models_folder.iterdir():
        file.unlink()
    make_runs(bench, ROWS, replace(execution, say=said.append))
    assert [line.split()[1] for line in said] == ["original,", "ft,", "ft,"]
    assert values(bench) == before


def test_a_wait_for_another_process_is_told(
    bench: Bench, execution: ExecutionConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "SILENT_SECONDS", 0.0)
    told, said = Event(), []

    def say(line: str) -> None:
        said.append(line)
        told.set()

    dataset = load_images("digits", folder=Path("nowhere"), train_per_class=24, test_per_class=8)
    task = make_plan(bench.selection, [Row(method="original")], dataset, bench.store).missing[0]
    with Leases(bench.store) as other, ThreadPoolExecutor() as pool:
        assert other.take(task.model_key)
        waiting = pool.submit(make_runs, bench, [Row(method="original")], replace(execution, say=say))
        assert told.wait(60)
        other.release(task.model_key)
        assert waiting.result().made == ("done", "done")
    assert said[0] == (
        f"Waiting for process {os.getpid()}, which makes a model needed for {task.title}. Ctrl-C loses no runs."
    )
    assert len(said) == 3


def test_wrong_use_records_nothing(bench: Bench, execution: ExecutionConfig) -> None:
    outside = replace(bench, selection=replace(bench.selection, forget=("1", "12")))
    with pytest.raises(DataError, match="Class '12' is not in digits"):
        make_runs(outside, ROWS, execution)
    with pytest.raises(OptionError, match="Option 'lr' of the method 'ft' is -1"):
        make_runs(bench, [Row(method="ft", options={"lr": -1})], execution)
    with pytest.raises(OptionError, match="Device 'quantum' is not available on this machine"):
        make_runs(bench, ROWS, replace(execution, device="quantum"))
    with pytest.raises(OptionError, match="both false"):
        make_runs(bench, [Row(method="muda", options={"use_da": False, "use_sd": False})], execution)
    assert not [run for run in bench.store.runs() if run.method == "muda"]


def test_every_spelling_of_a_forget_set_is_the_same_run_and_report(bench: Bench, execution: ExecutionConfig) -> None:
    def spelled(*forget: str) -> Bench:
        return Bench.choose(bench.benchmarks, bench.store, Choice(forget=forget))

    rows = [Row(method=name) for name in ("retrained", "original", "ft", "muda")]
    assert len(make_runs(spelled("3,1"), rows, execution).made) == 4
    expected = spelled("1,3").table("3")
    assert expected.rows[0].expected == expected.rows[0].cells[0].n == 1
    for forget in (("1, 3",), ("03,1",), ("1,3", "3,1")):
        assert make_runs(spelled(*forget), rows, execution).made == ()
        assert spelled(*forget).table("3") == expected


def test_another_version_of_a_metric_is_measured_again_and_never_mixed(
    bench: Bench, execution: ExecutionConfig, register: Callable[..., ExitStack]
) -> None:
    rows = [Row(method=name) for name in ("retrained", "original")]
    make_runs(bench, rows, execution)
    entry = metrics.get("da")
    register(metrics, replace(entry, version=2, function=lambda _outputs: 0.25))
    one = replace(bench, selection=replace(bench.selection, forget=("1",)))
    assert make_runs(one, rows, execution).made == ("done", "done")
    assert {run.forget: run.values.get("da") for run in bench.store.runs()} == {"1": 0.25, "3": None}
    with pytest.raises(MissingRunError, match="No retrained run on digits, class 3"):
        bench.table("3")
    assert make_runs(bench, rows, execution).made == ("done", "done")


def test_a_done_run_is_never_replaced_by_a_failed_one(
    bench: Bench, execution: ExecutionConfig, register: Callable[..., ExitStack]
) -> None:
    make_runs(bench, [Row(method="original")], execution)
    before = values(bench)
    entry = metrics.get("da")
    register(metrics, replace(entry, version=2, function=lambda _outputs: 1 / 0))
    assert make_runs(bench, [Row(method="original")], execution).made == ("failed", "failed")
    assert values(bench) == before


def test_options_of_a_reference_make_another_experiment(bench: Bench) -> None:
    other, row = with_method(bench, "original", options={"epochs": "4"})
    assert other.selection.experiment.recipe["epochs"] == 4
    assert other.selection.experiment.key != bench.selection.experiment.key
    assert row == Row(method="original")
    _, paper = with_method(bench, "muda", "paper", {"lr": "0.5"})
    assert (paper.options["optimizer"], paper.options["lr"], paper.options["beta"]) == ("sgd", 0.5, 0.01)


def test_a_method_is_given_the_data_it_declares_and_no_other(bench: Bench) -> None:
    dataset = load_images("digits", folder=Path("nowhere"), train_per_class=24, test_per_class=8)
    plan = make_plan(bench.selection, ROWS, dataset, bench.store)
    runner = Runner(bench.store, dataset, torch.device("cpu"))
    split = scenarios.get("class").function(dataset, "1")
    from unlearn_bench.training.monitor import RunMonitor

    sizes = {}
    for task in plan.tasks:
        if task.spec.forget == "1":
            problem = runner.problem(task, split, RunMonitor())
            sizes[task.spec.method] = (len(problem.retain), len(problem.forget))
            assert not (problem.retain.labels == 1).any() or task.spec.method == "original"
            assert problem.forget_share == pytest.approx(24 / 240)
    assert sizes == {
        "original": (240, 0),
        "retrained": (216, 0),
        "ft": (24, 0),
        "ft_classifier": (24, 0),
        "neggrad": (0, 24),
        "muda": (24, 24),
    }


def test_the_retain_subset_is_random_fixed_and_of_the_forget_sets_size() -> None:
    train = load_images("digits", folder=Path("nowhere")).train
    is_forget = train.labels == 2
    one, two = (retain_subset(train, is_forget, int(is_forget.sum()), seed) for seed in (1, 2))
    assert len(one) == int(is_forget.sum())
    assert one.digests == retain_subset(train, is_forget, int(is_forget.sum()), 1).digests != two.digests
    assert not (one.labels == 2).any()
    assert len(set(one.digests)) == len(one)
