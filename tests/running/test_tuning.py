"""Tuning: what it reads, what it chooses, and that nothing of it is lost."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.benchmark import make_problem
from support.command import command

from unlearn_bench.config.benchmarks import Row
from unlearn_bench.config.tuned import read_tuned
from unlearn_bench.core.errors import ConfigError, DataError, OptionError, TuningError, UnknownNameError
from unlearn_bench.data import Dataset, ForgetSplit, Images
from unlearn_bench.data.loading import load
from unlearn_bench.data.scenarios import scenarios
from unlearn_bench.metrics.accuracy import top1
from unlearn_bench.metrics.alignment import da
from unlearn_bench.metrics.clustering import nmi
from unlearn_bench.models.outputs import ModelOutputs, predict
from unlearn_bench.report.bench import Bench
from unlearn_bench.running import tuning
from unlearn_bench.running.making import ExecutionConfig, make_runs
from unlearn_bench.running.plan import make_plan
from unlearn_bench.running.runner import Runner
from unlearn_bench.running.tasks import hold_out, method_data
from unlearn_bench.running.trials import RESOLUTION, Options, Trial, honest, in_order
from unlearn_bench.running.tuning import HELD_OUT, tune
from unlearn_bench.store.records import RunRecord
from unlearn_bench.training.monitor import RunMonitor

GRID = """
grids:
  paper: {"*": {lr: [0.1, 0.001]}, neggrad: {lr: [0.0001, 0.00001]}}
  two: {muda: [{optimizer: [sgd], lr: [0.1, 0.01]}, {optimizer: [adam], lr: [0.001]}]}
  wild: {neggrad: {lr: [10.0], epochs: [400]}}
  wrong: {ft: {lr: [-1.0]}}
"""


@pytest.fixture
def home(home: Path) -> Path:
    (home / "benchmarks.yaml").write_text((home / "benchmarks.yaml").read_text() + GRID)
    return home


def class_split(dataset: Dataset, forget: str) -> ForgetSplit:
    found: ForgetSplit = scenarios.get("class").function(dataset, forget)
    return found


def test_a_search_chooses_the_best_by_held_out_images_alone(bench: Bench, execution: ExecutionConfig) -> None:
    """Every score again by hand: the weights that were stored, on the images that were held out."""
    chosen, ranked = tune(bench, "ft", execution)
    assert (chosen.trials, chosen.runs, chosen.search) == (2, 4 + 2, "grid paper")
    assert chosen.options == {"epochs": 2, **ranked[0].options}
    dataset = load("digits", folder=Path("nowhere"), train_per_class=24, test_per_class=8)
    held = replace(bench.selection.experiment, held_out=HELD_OUT)
    trial_bench = replace(bench, selection=replace(bench.selection, experiment=held))
    runner = Runner(bench.store, dataset.without_test(), torch.device("cpu"))
    for trial in ranked:
        plan = make_plan(trial_bench.selection, [Row(method="ft", options=trial.options)], dataset, bench.store)
        tasks = [task for task in plan.tasks if task.spec.method == "ft"]
        assert not plan.missing
        shares, gains = [], []
        for task in tasks:
            assert task.start is not None
            split = class_split(dataset, task.spec.forget)
            given = method_data(task, split)
            scores = []
            for model in (task, task.start):
                network, _ = runner.weights(model, split, RunMonitor())
                seen, kept, gone = (
                    predict(network, images, runner.normalise_for(network))
                    for images in (given.seen_retain, given.held_retain, given.held_forget)
                )
                outputs = ModelOutputs(seen, gone, kept, gone)
                scores.append((top1(kept) / 100 + 1 - top1(gone) / 100 + da(outputs) + 1 - nmi(outputs)) / 4)
            shares.append(scores[0])
            gains.append(scores[0] - scores[1])
        assert trial.score == pytest.approx(sum(shares) / 2)
        error = abs(gains[0] - gains[1]) / 2  # of two values: their distance / √2 / √2
        assert trial.gain == pytest.approx(sum(gains) / 2 - error, abs=1e-9)
    assert ranked[0].gain > ranked[1].gain - RESOLUTION or not ranked[1].usable


def test_of_gains_that_are_as_good_as_equal_the_cheapest_is_chosen(bench: Bench, execution: ExecutionConfig) -> None:
    def trial(name: str, gain: float, usable: bool = True, shares: bool = True) -> Trial:
        return Trial({"name": name}, {"da": gain} if shares else {}, gain, gain, usable, ())

    def order(*trials: Trial) -> str:
        return " ".join(str(trial.options["name"]) for trial in in_order(trials))

    assert order(trial("mild", 0.395), trial("best", 0.4), trial("less", 0.38)) == "mild best less"
    assert order(trial("less", 0.38), trial("best", 0.4), trial("mild", 0.395)) == "best mild less"
    assert order(trial("damage", 0.9, usable=False), trial("still", -0.1)) == "still damage"
    assert order(trial("gone", 0.0, False, False), trial("damage", -0.2, usable=False)) == "damage gone"
    _, ranked = tune(bench, "ft", execution)
    dear = replace(ranked[0], runs=ranked[0].runs * 2)
    assert in_order([dear, ranked[0]])[0] is ranked[0]


def test_honest_tuning_reads_no_test_image_and_no_retrained_model(
    bench: Bench, execution: ExecutionConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its choice and every number stay when the test images are noise, and no retrained model is ever made."""
    chosen, ranked = tune(bench, "ft", execution)
    assert {run.method for run in bench.store.runs()} == {"original", "ft"}
    assert {run.spec["experiment"]["held_out"] for run in bench.store.runs() if run.is_trial} == {HELD_OUT, 0.0}
    assert all(run.is_trial for run in bench.store.runs())

    def noisy(*arguments: object, **options: object) -> Dataset:
        real = load(*arguments, **options)  # type: ignore[arg-type]
        noise = torch.randint(0, 256, real.test.pixels.shape, dtype=torch.uint8)
        return replace(real, test=Images(noise, real.test.labels.flip(0)))

    monkeypatch.setattr("unlearn_bench.data.loading.load", noisy)
    other = replace(bench, store=type(bench.store)(f"{bench.store.url}.other"))
    again, repeated = tune(other, "ft", execution)
    assert [(trial.options, trial.score) for trial in ranked] == [(trial.options, trial.score) for trial in repeated]
    assert again.options == chosen.options


def test_what_is_held_out_is_not_given(bench: Bench, digits: Dataset) -> None:
    held = replace(bench.selection, experiment=replace(bench.selection.experiment, held_out=HELD_OUT))
    (task, *_) = [
        task for task in make_plan(held, [Row(method="muda")], digits, bench.store).tasks if task.spec.method == "muda"
    ]
    given = method_data(task, class_split(digits, "1"))
    for seen, out in ((given.retain, given.held_retain), (given.forget, given.held_forget)):
        assert (len(seen), len(out)) == (19, 5)
        assert not set(seen.digests) & set(out.digests)
    assert set(given.forget.labels.tolist()) == set(given.held_forget.labels.tolist()) == {1}
    whole, nothing = hold_out(digits.train, 0.0, 1)
    assert (whole.digests, len(nothing)) == (digits.train.digests, 0)
    with pytest.raises(DataError, match="expected at least 2, got 1"):
        hold_out(digits.train[torch.tensor([0])], 0.2, 1)


@pytest.mark.parametrize("batch_size", [1, 8, 10, 24, 64])
def test_a_trial_makes_as_many_steps_as_the_run_it_stands_for(
    batch_size: int, digits: Dataset, split: ForgetSplit
) -> None:
    whole = make_problem(digits, split)
    trial = replace(whole, forget=whole.forget[torch.arange(19)], held_out=HELD_OUT)
    steps = len(whole.forget_batches(batch_size))
    batches = [len(y) for _, y in trial.forget_batches(batch_size)]
    assert sum(batches) == 19
    assert len(batches) == min(steps, 19) or len(batches) == steps - 1  # where batches do not divide what is left


def test_a_trial_that_damages_from_disturbed_weights_is_passed_over(bench: Bench, execution: ExecutionConfig) -> None:
    first, _ = tune(bench, "ft", execution)
    same, ranked = tune(bench, "ft", execution, disturbances=2)
    assert (same.options, same.runs) == (first.options, first.runs + 4)
    assert not any(trial.rejected for trial in ranked)
    assert len({run.model.weights_digest for run in bench.store.runs(method="ft") if run.model}) == 4 + 2 + 4
    with pytest.MonkeyPatch.context() as patch:  # as if the disturbed chosen trial lost six points

        def collapsing(options: Options, runs: Sequence[RunRecord], originals: Sequence[RunRecord]) -> Trial:
            trial = honest(options, runs, originals)
            disturbed = bool(runs[0].spec["experiment"].get("disturbance"))
            return replace(trial, usable=not (disturbed and options == ranked[0].options))

        patch.setattr(tuning, "honest", collapsing)
        other, again = tune(bench, "ft", execution, disturbances=1)
    assert again[0].options == ranked[1].options
    assert [trial.rejected for trial in again] == ["", "from disturbed start weights"]
    assert other.options != first.options


def test_the_choice_is_repeated_on_all_images_as_a_table_runs_it(bench: Bench, execution: ExecutionConfig) -> None:
    first, ranked = tune(bench, "ft", execution)
    rehearsals = [run for run in bench.store.runs(method="ft") if run.spec["experiment"].get("rehearsal")]
    assert len(rehearsals) == 2
    assert all(run.options.items() >= ranked[0].options.items() for run in rehearsals)
    assert {run.model.samples_seen for run in rehearsals if run.model} == {2 * 24}  # two epochs of D'_r, with no fifth
    lines: list[str] = []
    outcome = make_runs(bench, [Row(method="ft", options=first.options)], replace(execution, say=lines.append))
    weights = {run.model.weights_digest for run in rehearsals if run.model}
    recorded = [run for run in bench.recorded(outcome.runs) if run.method == "ft"]
    assert {run.model.weights_digest for run in recorded if run.model} == weights  # a table takes these weights over
    assert not any(run.is_trial for run in recorded)
    with pytest.MonkeyPatch.context() as patch:  # as if the chosen trial diverged on all of D_f

        def diverging(options: Options, runs: Sequence[RunRecord], originals: Sequence[RunRecord]) -> Trial:
            rehearsed = bool(runs[0].spec["experiment"].get("rehearsal")) and options == ranked[0].options
            return honest(options, [replace(r, status="diverged") for r in runs] if rehearsed else runs, originals)

        patch.setattr(tuning, "honest", diverging)
        other, again = tune(bench, "ft", execution)
    assert [trial.rejected for trial in again] == ["", "on all of D_f and D'_r"]
    assert other.options != first.options


def test_an_interrupted_search_goes_on_where_it_stopped(bench: Bench, execution: ExecutionConfig) -> None:
    def stop(_line: str) -> None:
        if bench.store.count() == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(bench, "ft", replace(execution, say=stop))
    kept = {run.id for run in bench.store.runs()}
    assert len(kept) == 4
    lines: list[str] = []
    chosen, _ = tune(bench, "ft", replace(execution, say=lines.append))
    assert len(lines) == 2 + 4  # the trials that were missing, then the choice and the original on all images
    assert kept < {run.id for run in bench.store.runs()}
    assert chosen == tune(bench, "ft", execution)[0]


def test_trials_show_in_no_table(bench: Bench, execution: ExecutionConfig) -> None:
    tune(bench, "ft", execution)
    assert bench.store.runs(experiment_key=bench.selection.experiment.key) == []


def test_lists_of_grids_and_the_oracle(bench: Bench, execution: ExecutionConfig) -> None:
    chosen, ranked = tune(bench, "muda", execution, grid="two", objective="oracle")
    assert chosen.trials == 3
    assert "ORACLE" in chosen.sentence
    assert {run.method for run in bench.store.runs()} == {"original", "retrained", "muda"}
    reference = {(run.forget, run.seed): run.values for run in bench.store.runs(method="retrained")}
    gaps = [abs(run.values["lp_forget"] - reference[run.forget, run.seed]["lp_forget"]) / 100 for run in ranked[0].runs]
    assert ranked[0].shares["lp_forget"] == pytest.approx(sum(gaps) / 2)
    assert ranked[0].score == pytest.approx(1 - sum(ranked[0].shares.values()) / len(ranked[0].shares))
    assert all(trial.gain <= trial.score for trial in ranked)
    assert ranked[0].gain > max(trial.gain for trial in ranked) - RESOLUTION


def test_optunas_trials_are_the_same_every_time(bench: Bench, execution: ExecutionConfig) -> None:
    chosen, ranked = tune(bench, "neggrad", execution, trials=5)
    assert len({json.dumps(trial.options) for trial in ranked}) == 5
    assert all(1e-5 <= trial.options["lr"] <= 1 and 1 <= trial.options["epochs"] <= 20 for trial in ranked)
    lines: list[str] = []
    assert tune(bench, "neggrad", replace(execution, say=lines.append), trials=5)[0] == chosen
    assert lines == []


def test_a_search_that_diverges_everywhere_says_so(bench: Bench, execution: ExecutionConfig) -> None:
    with pytest.raises(TuningError, match="Every trial of neggrad failed"):
        tune(bench, "neggrad", execution, grid="wild")


@pytest.mark.parametrize(
    ("method", "choice", "error", "sentence"),
    [
        ("original", {}, OptionError, "is a reference"),
        ("ft", {"grid": "papers"}, UnknownNameError, "No grid named 'papers'. Did you mean 'paper'?"),
        ("fisher", {}, OptionError, r"has no values for the method 'fisher'.*its declared ranges \(alpha\)"),
        ("ft", {"grid": "wrong"}, OptionError, "Option 'lr' of the method 'ft' is -1.0"),
        ("bias_cheat", {"trials": 2}, OptionError, "declares no range"),
    ],
)
def test_what_cannot_be_tuned_is_one_sentence(
    method: str, choice: dict[str, str], error: type[Exception], sentence: str, bench: Bench, execution: ExecutionConfig
) -> None:
    with pytest.raises(error, match=sentence):
        tune(bench, method, execution, **choice)  # type: ignore[arg-type]
    assert bench.store.count() == 0


def test_the_path_of_a_tuner(home: Path) -> None:
    """Tune, then run and reproduce with what was found, as typed."""
    tuned = command("tune", "--method", "ft", "--forget", "1", "--objective", "oracle")
    assert tuned.returncode == 0, tuned.stderr
    assert "ORACLE objective" in tuned.stdout
    file = home / "results" / "tuned" / "tiny.yaml"
    assert read_tuned(file)["ft"].objective == "oracle"
    assert command("tune", "--method", "neggrad", "--forget", "1").returncode == 0
    assert set(read_tuned(file)) == {"ft", "neggrad"}
    made = command("run", "--method", "ft", "--forget", "1", "--options", str(file))
    assert "Options of ft: tuned on digits, class 1 by the ORACLE objective" in made.stdout
    assert "0 of 2 runs made" in made.stderr
    table = command("reproduce", "--table", "3", "--forget", "1", "--options", str(file))
    assert table.returncode == 0, table.stderr
    assert "ORACLE" in table.stdout
    assert "trial" in command("runs", "--method", "neggrad").stdout
    (home / "bad.yaml").write_text("ft: {options: 3}")
    refused = command("run", "--method", "ft", "--options", "bad.yaml")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "bad.yaml: ft." in refused.stderr
    both = command("tune", "--method", "ft", "--grid", "paper", "--trials", "3")
    assert (both.returncode, both.stderr) == (2, "--grid and --trials exclude each other. Give only one of them.\n")


def test_a_file_of_tuned_options_is_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="There is no file"):
        read_tuned(tmp_path / "gone.yaml")
    (tmp_path / "list.yaml").write_text("[1]")
    with pytest.raises(ConfigError, match="has no methods"):
        read_tuned(tmp_path / "list.yaml")
