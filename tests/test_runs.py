"""Runs end to end on real images: recorded once, repeated to the bit, healed where something is missing."""

import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
import torch
from sqlalchemy import delete

from unlearn_bench.bench import Bench, Machinery
from unlearn_bench.config import Row
from unlearn_bench.data.loading import load as load_images
from unlearn_bench.data.settings import settings
from unlearn_bench.errors import DataError, MissingRunError, OptionError
from unlearn_bench.executors import local
from unlearn_bench.metrics import metrics
from unlearn_bench.plan import make_plan
from unlearn_bench.runner import Runner
from unlearn_bench.store import Store
from unlearn_bench.store.claims import Claims
from unlearn_bench.store.tables import RunRow
from unlearn_bench.tasks import retain_subset

ROWS = [Row(method=name) for name in ("retrained", "original", "ft", "ft_classifier", "neggrad", "muda")]


def values(bench: Bench) -> dict[str, dict[str, float]]:
    return {run.key: run.values for run in bench.store.runs()}


def test_every_method_is_recorded_once_with_all_metrics(bench: Bench, machinery: Machinery) -> None:
    outcome = bench.carry_out(ROWS, machinery)
    assert (len(outcome.runs), outcome.made, outcome.failures) == (12, ("done",) * 12, 0)
    runs = bench.store.runs()
    own = {metric.name for metric in metrics if not metric.settings}
    assert all(set(run.values) == own for run in runs)
    assert all(run.model and run.model.method_seconds > 0 and run.model.samples_seen > 0 for run in runs)
    originals = [run for run in runs if run.method == "original"]
    assert len({run.model.key for run in originals if run.model}) == 1, (
        "the original is trained once for all forget sets"
    )
    assert len(list(bench.store.models_folder.iterdir())) == 11
    again = bench.carry_out(ROWS, machinery)
    assert (again.runs, again.made) == (outcome.runs, ())


def test_a_cheat_of_the_head_leaves_feature_metrics_to_the_last_digit(bench: Bench, machinery: Machinery) -> None:
    bench.carry_out([Row(method="ft_classifier")], machinery)
    by_method = {(run.method, run.forget): run.values for run in bench.store.runs()}
    for name in ("da", "lp_forget", "lp_retain", "f1", "nmi"):
        assert by_method["ft_classifier", "1"][name] == by_method["original", "1"][name]


def test_deleted_runs_are_made_again_to_the_bit(bench: Bench, machinery: Machinery) -> None:
    bench.carry_out(ROWS, machinery)
    before = values(bench)
    # the newest run, whose number SQLite would give away again; as a person would, in a shell without foreign keys
    victim = bench.store.runs()[0]
    with sqlite3.connect(bench.store.path) as raw:
        raw.execute("DELETE FROM runs WHERE id = ?", (victim.id,))
    raw.close()
    said: list[str] = []
    bench.carry_out(ROWS, replace(machinery, say=said.append))
    assert said == [f"[1/1] {victim.method}, digits, forget {victim.forget}, seed 0: done"]
    assert values(bench) == before
    # the same with the checkpoint gone too: the method itself runs again
    with sqlite3.connect(bench.store.path) as raw:
        raw.execute("DELETE FROM metric_values")
        raw.execute("DELETE FROM runs")
    raw.close()
    for file in bench.store.models_folder.iterdir():
        file.unlink()
    bench.carry_out(ROWS, machinery)
    assert values(bench) == before


def test_several_processes_give_the_same_numbers(bench: Bench, machinery: Machinery, tmp_path: Path) -> None:
    bench.carry_out(ROWS, machinery)
    other = replace(bench, store=Store(f"sqlite:///{tmp_path / 'other' / 'runs.sqlite'}"))
    seen: list[tuple[str, int, int]] = []
    outcome = other.carry_out(ROWS, replace(machinery, workers=2, progress=lambda *step: seen.append(step)))
    assert outcome.failures == 0
    assert values(other) == values(bench)
    assert any("retrained" in task for task, _, _ in seen)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_repeats_itself(bench: Bench, machinery: Machinery, tmp_path: Path) -> None:
    other = replace(bench, store=Store(f"sqlite:///{tmp_path / 'other' / 'runs.sqlite'}"))
    for each, workers in ((bench, 1), (other, 2)):
        each.carry_out(ROWS, replace(machinery, device="cuda", workers=workers))
    assert values(other) == values(bench)


def test_a_damaged_checkpoint_is_never_used(bench: Bench, machinery: Machinery) -> None:
    bench.carry_out([Row(method="original")], machinery)
    (file,) = bench.store.models_folder.iterdir()
    content = bytearray(file.read_bytes())
    intact = bytes(content)
    content[-5] ^= 1
    file.write_bytes(content)
    bench.carry_out([Row(method="ft")], machinery)
    assert file.read_bytes() == intact, "made again, bit for bit"


def test_divergence_is_recorded_and_not_repeated(bench: Bench, machinery: Machinery) -> None:
    changed, row = bench.with_method("neggrad", options={"lr": "10", "epochs": "500"})
    outcome = changed.carry_out([row], machinery)
    assert outcome.made.count("diverged") == 2
    assert outcome.failures == 2
    run = bench.store.runs(status="diverged")[0]
    assert run.error
    assert "steps" in run.error
    assert run.values == {}
    again = changed.carry_out([row], machinery)
    assert (again.made, again.failures) == ((), 2)


def test_a_failing_method_is_recorded_and_tried_again(
    bench: Bench, machinery: Machinery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_outputs: object) -> float:
        raise ZeroDivisionError("no")

    entry = metrics.get("da")
    with monkeypatch.context() as patch:
        patch.setitem(metrics._entries, "da", replace(entry, function=broken))
        assert bench.carry_out([Row(method="original")], machinery).made == ("failed", "failed")
    assert bench.store.runs()[0].error == "ZeroDivisionError: no"
    assert bench.carry_out([Row(method="original")], machinery).made == ("done", "done")


def test_what_failed_in_another_process_meanwhile_is_not_tried_again(
    bench: Bench, machinery: Machinery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that had failed before is: only the failure of this very attempt counts."""

    def broken(_outputs: object) -> float:
        raise ZeroDivisionError("no")

    monkeypatch.setitem(metrics._entries, "da", replace(metrics.get("da"), function=broken))
    selection, rows = bench.selection, [Row(method="original")]
    dataset = load_images("digits", folder=Path("nowhere"), train_per_class=24, test_per_class=8)
    before = make_plan(selection, rows, dataset, bench.store)
    assert [before.still_missing(task, bench.store) for task in before.missing] == [True, True]
    assert bench.carry_out(rows, machinery).made == ("failed", "failed")
    assert [before.still_missing(task, bench.store) for task in before.missing] == [False, False]
    after = make_plan(selection, rows, dataset, bench.store)
    assert [after.still_missing(task, bench.store) for task in after.missing] == [True, True]


def test_lost_weights_that_others_start_from_are_a_run_of_their_own(bench: Bench, machinery: Machinery) -> None:
    """So that of several processes one makes them; what needs none of them is left alone."""
    bench.carry_out(ROWS, machinery)
    before, said = values(bench), []
    bench.store.write(lambda session: session.execute(delete(RunRow).where(RunRow.method == "ft")))
    for file in bench.store.models_folder.iterdir():
        file.unlink()
    bench.carry_out(ROWS, replace(machinery, say=said.append))
    assert [line.split()[1] for line in said] == ["original,", "ft,", "ft,"]
    assert values(bench) == before


def test_a_wait_for_another_process_is_told(
    bench: Bench, machinery: Machinery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "SILENT_SECONDS", 0.0)
    told, said = Event(), []

    def say(line: str) -> None:
        said.append(line)
        told.set()

    dataset = load_images("digits", folder=Path("nowhere"), train_per_class=24, test_per_class=8)
    task = make_plan(bench.selection, [Row(method="original")], dataset, bench.store).missing[0]
    with Claims(bench.store) as other, ThreadPoolExecutor() as pool:
        assert other.take(task.model_key)
        waiting = pool.submit(bench.carry_out, [Row(method="original")], replace(machinery, say=say))
        assert told.wait(60)
        other.give_back(task.model_key)
        assert waiting.result().made == ("done", "done")
    assert said[0] == (
        f"Waiting for process {os.getpid()}, which makes what is needed for {task.title}. Ctrl-C loses nothing."
    )
    assert len(said) == 3


def test_wrong_use_records_nothing(bench: Bench, machinery: Machinery) -> None:
    outside = replace(bench, selection=replace(bench.selection, forget=("1", "12")))
    with pytest.raises(DataError, match="Class '12' is not in digits"):
        outside.carry_out(ROWS, machinery)
    with pytest.raises(OptionError, match="Option 'lr' of the method 'ft' is -1"):
        bench.carry_out([Row(method="ft", options={"lr": -1})], machinery)
    with pytest.raises(OptionError, match="Device 'quantum' is not on this machine"):
        bench.carry_out(ROWS, replace(machinery, device="quantum"))
    with pytest.raises(OptionError, match="both false"):
        bench.carry_out([Row(method="muda", options={"use_da": False, "use_sd": False})], machinery)
    assert not [run for run in bench.store.runs() if run.method == "muda"]


def test_every_spelling_of_a_forget_set_is_the_same_run_and_report(bench: Bench, machinery: Machinery) -> None:
    def spelled(*forget: str) -> Bench:
        return Bench.choose(bench.benchmarks, bench.store, forget=forget)

    rows = [Row(method=name) for name in ("retrained", "original", "ft", "muda")]
    assert len(spelled("3,1").carry_out(rows, machinery).made) == 4
    expected = spelled("1,3").table("3")
    assert expected.rows[0].expected == expected.rows[0].cells[0].n == 1
    for forget in (("1, 3",), ("03,1",), ("1,3", "3,1")):
        assert spelled(*forget).carry_out(rows, machinery).made == ()
        assert spelled(*forget).table("3") == expected


def test_another_version_of_a_metric_is_measured_again_and_never_mixed(
    bench: Bench, machinery: Machinery, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Row(method=name) for name in ("retrained", "original")]
    bench.carry_out(rows, machinery)
    entry = metrics.get("da")
    monkeypatch.setitem(metrics._entries, "da", replace(entry, version=2, function=lambda _outputs: 0.25))
    one = replace(bench, selection=replace(bench.selection, forget=("1",)))
    assert one.carry_out(rows, machinery).made == ("done", "done")
    assert {run.forget: run.values.get("da") for run in bench.store.runs()} == {"1": 0.25, "3": None}
    with pytest.raises(MissingRunError, match="No retrained run on digits, class 3"):
        bench.table("3")
    assert bench.carry_out(rows, machinery).made == ("done", "done")


def test_a_done_run_is_never_replaced_by_a_failed_one(
    bench: Bench, machinery: Machinery, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.carry_out([Row(method="original")], machinery)
    before = values(bench)
    entry = metrics.get("da")
    monkeypatch.setitem(metrics._entries, "da", replace(entry, version=2, function=lambda _outputs: 1 / 0))
    assert bench.carry_out([Row(method="original")], machinery).made == ("failed", "failed")
    assert values(bench) == before


def test_options_of_a_reference_make_another_experiment(bench: Bench) -> None:
    other, row = bench.with_method("original", options={"epochs": "4"})
    assert other.selection.experiment.recipe["epochs"] == 4
    assert other.selection.experiment.key != bench.selection.experiment.key
    assert row == Row(method="original")
    _, paper = bench.with_method("muda", "paper", {"lr": "0.5"})
    assert (paper.options["optimizer"], paper.options["lr"], paper.options["beta"]) == ("sgd", 0.5, 0.01)


def test_a_method_is_given_the_data_it_declares_and_no_other(bench: Bench) -> None:
    dataset = load_images("digits", folder=Path("nowhere"), train_per_class=24, test_per_class=8)
    plan = make_plan(bench.selection, ROWS, dataset, bench.store)
    runner = Runner(bench.store, dataset, torch.device("cpu"))
    split = settings.get("class").function(dataset, "1")
    from unlearn_bench.journal import Journal

    sizes = {}
    for task in plan.tasks:
        if task.spec.forget == "1":
            problem = runner.problem(task, split, Journal())
            sizes[task.spec.method] = (len(problem.retain), len(problem.forget))
            assert not (problem.retain.labels == 1).any() or task.spec.method == "original"
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
