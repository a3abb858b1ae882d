"""Outputs of models: kept once for each model, never read when damaged, divided as the data set is."""

from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from unlearn_bench.config.benchmarks import Row
from unlearn_bench.data.batches import Normalise
from unlearn_bench.data.loading import load
from unlearn_bench.data.scenarios import split_dataset
from unlearn_bench.metrics import metrics
from unlearn_bench.models import build
from unlearn_bench.models.outputs import Predictions, arrange, predict_all
from unlearn_bench.report.bench import Bench
from unlearn_bench.running.making import ExecutionConfig, make_runs
from unlearn_bench.running.plan import make_plan
from unlearn_bench.running.runner import Runner
from unlearn_bench.running.tasks import TRACED_METRICS
from unlearn_bench.training.monitor import RunMonitor


def test_outputs_are_kept_once_for_each_model_and_read_to_the_bit(bench: Bench, execution: ExecutionConfig) -> None:
    make_runs(bench, [Row(method="retrained"), Row(method="original")], execution)
    assert len(list(bench.store.outputs_folder.iterdir())) == 3, "the original's serve both forget sets"
    before = {run.key: run.values for run in bench.store.runs()}
    dataset = load("digits", folder=Path("nowhere"), train_per_class=24, test_per_class=8)
    plan = make_plan(bench.selection, [Row(method="retrained")], dataset, bench.store)
    runner = Runner(bench.store, dataset, torch.device("cpu"))
    for task in plan.tasks:
        runner.run(task)  # measured again from the files
    assert {run.key: run.values for run in bench.store.runs()} == before
    run = next(run for run in bench.store.runs(method="retrained") if run.forget == "1")
    assert run.outputs
    network, _ = runner.weights(plan.tasks[0], split_dataset(dataset, "class", "1", {}), RunMonitor())
    fresh = predict_all(network, dataset.test, split_dataset(dataset, "class", "1", {}), runner.normalise_for(network))
    stored = Predictions.from_tensors(load_file(bench.store.outputs_folder / run.outputs.file))
    for part in ("train", "test"):
        for name in ("features", "logits", "labels"):
            assert torch.equal(getattr(getattr(fresh, part), name), getattr(getattr(stored, part), name))


def test_damaged_outputs_are_never_read(bench: Bench, execution: ExecutionConfig) -> None:
    make_runs(bench, [Row(method="original")], execution)
    (file,) = bench.store.outputs_folder.iterdir()
    intact = file.read_bytes()
    file.write_bytes(intact[:-4] + b"\0\0\0\1")
    outcome = make_runs(bench, [Row(method="original")], execution)
    assert outcome.made == ()
    outcome = make_runs(bench, [Row(method="original")], execution, with_outputs=True)
    assert outcome.made == ("done",)  # for the other forget set the same file is intact by then
    assert outcome.failures == 0
    assert file.read_bytes() == intact


def test_a_trial_keeps_no_outputs(bench: Bench, execution: ExecutionConfig) -> None:
    experiment = replace(bench.selection.experiment, held_out=0.2)
    trial = replace(bench, selection=replace(bench.selection, experiment=experiment))
    assert make_runs(trial, [Row(method="ft")], execution).failures == 0
    assert not bench.store.outputs_folder.exists()


def test_predictions_are_divided_as_the_data_set_is() -> None:
    dataset = load("digits", folder=Path("nowhere"), train_per_class=24, test_per_class=8)
    network = build({"name": "resnet18", "width": 4, "groups": 2}, channels=1, classes=10, seed=1)
    split = split_dataset(dataset, "class", "3", {})
    normalise = Normalise(dataset.mean, dataset.std)
    outputs = arrange(predict_all(network, dataset.test, split, normalise), split)
    assert set(outputs.forget.labels.tolist()) == set(outputs.test_forget.labels.tolist()) == {3}
    assert len(outputs.retain) + len(outputs.forget) == len(dataset.train)
    assert {metric.name for metric in metrics} >= set(TRACED_METRICS)
