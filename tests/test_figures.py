"""Figures of the paper: outputs that are kept, curves that are traced, and what is drawn of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL
from sklearn.decomposition import PCA
from typer.testing import CliRunner

from unlearn_bench.bench import Bench, Machinery
from unlearn_bench.cli import app
from unlearn_bench.config import Row
from unlearn_bench.config import load as load_config
from unlearn_bench.data.batches import Normalise
from unlearn_bench.data.loading import load
from unlearn_bench.data.settings import divide
from unlearn_bench.errors import MissingRunError, OptionError, UnknownNameError
from unlearn_bench.journal import Journal
from unlearn_bench.metrics import metrics
from unlearn_bench.outputs import Predictions, arrange, predict_all
from unlearn_bench.plan import make_plan
from unlearn_bench.report.claims import CurveReader, judge
from unlearn_bench.report.curves import Curves, Line, Trace, curves_of
from unlearn_bench.report.embedding import clouds_of, embed
from unlearn_bench.runner import Runner
from unlearn_bench.tasks import TRACED_METRICS, Task

FIGURES = """
figures:
  "1": {title: Clouds, kind: features, setting: incremental, forget: [9], rows: [retrained, original]}
  "3":
    title: Curves
    kind: curves
    metrics: [lp_retain, da]
    trace_every: 5
    rows: [original, retrained, muda, {method: neggrad, options: {lr: 10}}]
    options: {tiny: {muda: {iterations: 12}, neggrad: {epochs: 60}}}
  "4": {title: Backdoor, kind: features, setting: backdoor, forget: [2], rows: [original, muda]}
claims:
  - {says: MUDA is flat, figure: "3", test: 'swing("muda", "lp_retain") <= 100 and diverged("muda") == 0'}
  - {says: NegGrad diverges, figure: "3", test: 'diverged("neggrad") == 2'}
"""


@pytest.fixture
def drawn(home: Path, bench: Bench) -> Bench:
    (home / "benchmarks.yaml").write_text(SMALL + FIGURES)
    return Bench.choose(load_config(), bench.store)


def invoke(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exception is None, result.exception
    return result.output


def test_outputs_are_kept_once_for_each_model_and_read_to_the_bit(bench: Bench, machinery: Machinery) -> None:
    bench.carry_out([Row(method="retrained"), Row(method="original")], machinery)
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
    network, _ = runner.weights(plan.tasks[0], divide(dataset, "class", "1", {}), Journal())
    fresh = predict_all(network, dataset.test, divide(dataset, "class", "1", {}), runner.normalise)
    from safetensors.torch import load_file

    stored = Predictions.from_tensors(load_file(bench.store.outputs_folder / run.outputs.file))
    for part in ("train", "test"):
        for name in ("features", "logits", "labels"):
            assert torch.equal(getattr(getattr(fresh, part), name), getattr(getattr(stored, part), name))


def test_damaged_outputs_are_never_read(bench: Bench, machinery: Machinery) -> None:
    bench.carry_out([Row(method="original")], machinery)
    (file,) = bench.store.outputs_folder.iterdir()
    intact = file.read_bytes()
    file.write_bytes(intact[:-4] + b"\0\0\0\1")
    outcome = bench.carry_out([Row(method="original")], machinery)
    assert outcome.made == ()
    outcome = bench.carry_out([Row(method="original")], machinery, with_outputs=True)
    assert outcome.made == ("done",)  # for the other forget set the same file is intact by then
    assert outcome.failures == 0
    assert file.read_bytes() == intact


def test_a_trial_keeps_no_outputs(bench: Bench, machinery: Machinery) -> None:
    experiment = replace(bench.selection.experiment, held_out=0.2)
    trial = replace(bench, selection=replace(bench.selection, experiment=experiment))
    assert trial.carry_out([Row(method="ft")], machinery).failures == 0
    assert not bench.store.outputs_folder.exists()


def test_a_trace_measures_without_touching_the_run(drawn: Bench, machinery: Machinery) -> None:
    """The traced run's weights are those of the same run untraced, its budget too; a point is measured by hand."""
    entry = drawn.benchmarks.figure("3")
    outcome = drawn.reproduce([entry], machinery)
    assert outcome.made.count("diverged") == 2
    plain = Bench.choose(drawn.benchmarks, drawn.store)
    plain.carry_out([Row(method="muda", options={"iterations": 12}), Row(method="retrained")], machinery)
    runs = {
        (run.method, run.forget, run.spec["experiment"]["trace_every"]): run
        for run in drawn.store.runs()
        if run.status == "done"
    }
    traced, untraced = runs["muda", "1", 5], runs["muda", "1", 0]
    assert traced.model
    assert untraced.model
    assert traced.model.weights_digest == untraced.model.weights_digest
    assert traced.values == untraced.values
    for count in ("samples_seen", "forward_images", "backward_images"):
        assert getattr(traced.model, count) == getattr(untraced.model, count)
    assert traced.model.trace_seconds > 0 == untraced.model.trace_seconds
    assert runs["retrained", "1", 5].model == runs["retrained", "1", 0].model, "no reference is trained again"
    points = drawn.store.curves([traced.key], TRACED_METRICS)[traced.key]
    assert [step for step, name, _ in points if name == "da"] == [0, 5, 10, 12]
    ends = {name: value for step, name, value in points if step == 12}
    assert ends == {name: traced.values[name] for name in TRACED_METRICS}
    starts = {name: value for step, name, value in points if step == 0}
    assert starts == {name: runs["original", "1", 0].values[name] for name in TRACED_METRICS}


def test_a_point_on_the_way_is_the_models_own(drawn: Bench, machinery: Machinery) -> None:
    """A method that stops where a longer one goes on: its end is the longer one's point at that step."""
    every = replace(drawn.selection.experiment, trace_every=2)
    here = replace(drawn, selection=replace(drawn.selection, experiment=every, forget=("1",)))
    here.carry_out([Row(method="neggrad", options={"epochs": epochs, "lr": 0.01}) for epochs in (2, 4)], machinery)
    short, long = sorted(here.store.runs(method="neggrad"), key=lambda run: run.options["epochs"])
    assert short.model
    (end,) = {step for step, name, _ in here.store.curves([short.key], ["loss"])[short.key]} - {1}
    found = {
        name: value for step, name, value in here.store.curves([long.key], TRACED_METRICS)[long.key] if step == end
    }
    assert found == {name: short.values[name] for name in TRACED_METRICS}


def test_curves_are_read_with_their_ends_and_levels(drawn: Bench, machinery: Machinery) -> None:
    entry = drawn.benchmarks.figure("3")
    with pytest.raises(MissingRunError, match=r"0 of 2 runs of original\. Make them with: .* --figure 3"):
        curves_of("3", entry, drawn.placed(entry), drawn.store)
    drawn.reproduce([entry], machinery)
    curves = curves_of("3", entry, drawn.placed(entry), drawn.store)
    by_name = {(line.method, line.metric): line for line in curves.lines}
    assert by_name["original", "da"].level is not None
    assert by_name["original", "da"].traces == ()
    assert [trace.diverged for trace in by_name["neggrad", "da"].traces] == [True, True]
    muda = by_name["muda", "lp_retain"]
    assert [step for step, _ in muda.mean] == [0, 5, 10, 12]
    assert "Measured every 5 steps" in curves.notes[-1]
    for suffix in ("png", "svg"):
        invoke("figure", "3", "--output", f"f3.{suffix}")
    assert "Linear" not in Path("f3.svg").read_text()
    assert all(word in Path("f3.svg").read_text() for word in ("MUDA", "NegGrad", "Retrained", "iterations"))
    said = invoke("claims")
    assert said.count("  held") == 2


def test_a_claim_reads_the_second_half_of_a_mean_curve() -> None:
    traces = tuple(
        Trace(tuple(zip((0, 10, 20, 30), values, strict=True)), False) for values in ((9, 4, 6, 5), (9, 4, 8, 5))
    )
    reader = CurveReader("3", Curves((Line("muda", "MUDA", "da", traces),), ()))
    assert judge('swing("muda", "da") == 2', reader).figures == "muda da swing 2"
    assert judge('end("MUDA", "da") == 5', reader).verdict == "held"
    cut = (traces[0], Trace(traces[1].points[:2], True))
    line = Line("muda", "MUDA", "da", cut)
    assert line.mean == [(0, 9), (10, 4)], "a mean over fewer configurations would be another curve"
    assert judge('diverged("muda") == 1', CurveReader("3", Curves((line,), ()))).verdict == "held"


def test_the_end_of_a_curve_is_the_model_that_is_stored(drawn: Bench, machinery: Machinery) -> None:
    """A cheat without a step, and a method that goes back to an earlier student."""
    every = replace(drawn.selection.experiment, trace_every=1)
    here = replace(drawn, selection=replace(drawn.selection, experiment=every, forget=("1",)))
    rewound = Row(method="scrub", options={"rewind": True, "epochs": 4, "msteps": 4, "lr": 0.3})
    here.carry_out([Row(method="bias_cheat"), rewound], machinery)
    for method in ("bias_cheat", "scrub"):
        (run,) = here.store.runs(method=method)
        assert run.status == "done"
        last: dict[str, float] = {}
        for _, name, value in here.store.curves([run.key], TRACED_METRICS)[run.key]:
            last[name] = value
        assert last == {name: run.values[name] for name in TRACED_METRICS}


def test_a_failed_run_is_missing_and_one_that_never_began_is_told(
    drawn: Bench, machinery: Machinery, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = drawn.benchmarks.figure("3")
    real = Runner.problem

    def fails(self: Runner, task: Task, *rest: object) -> object:
        if task.spec.method == "muda":
            raise ValueError("no")
        return real(self, task, *rest)  # type: ignore[arg-type]  # passed on as they came

    with monkeypatch.context() as patched:
        patched.setattr(Runner, "problem", fails)
        drawn.reproduce([entry], machinery)
    with pytest.raises(MissingRunError, match="0 of 2 runs of muda"):
        curves_of("3", entry, drawn.placed(entry), drawn.store)
    sequence = Bench.choose(drawn.benchmarks, drawn.store, forget=("1>3",))
    sequence.reproduce([entry], machinery)
    curves = curves_of("3", entry, sequence.placed(entry), sequence.store)
    assert any("NegGrad, forget 1>3, seed 0: diverged" in note for note in curves.notes)
    invoke("figure", "3", "--forget", "1", "--then", "3", "--output", "sequence.svg")
    assert judge('diverged("neggrad") == 1', CurveReader("3", curves)).verdict == "held"


def test_a_metric_that_is_defined_anew_is_traced_anew(
    drawn: Bench, machinery: Machinery, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = drawn.benchmarks.figure("3")
    one = replace(drawn, choice={"forget": ("1",)})
    one.reproduce([entry], machinery)
    assert one.reproduce([entry], machinery).made == ()
    monkeypatch.setitem(metrics._entries, "lp_retain", replace(metrics.get("lp_retain"), version=99))
    one.reproduce([entry], machinery)
    assert len(one.store.runs(method="muda")) == 2


def test_clouds_are_the_stored_features_with_the_forget_set_marked(drawn: Bench, machinery: Machinery) -> None:
    entry = drawn.benchmarks.figure("4")
    said = invoke("reproduce", "--figure", "4", "--workers", "1")
    assert "Draw it with: unlearn-bench figure 4 --profile tiny --output figure-4.png" in said
    clouds = clouds_of("4", drawn.placed(entry), drawn.store, "pca")
    dataset = load("digits", folder=Path("nowhere"), train_per_class=24, test_per_class=8)
    split = divide(dataset, "backdoor", "2", drawn.benchmarks.profiles["tiny"].settings["backdoor"])
    first = clouds.panels[0]
    assert np.flatnonzero(first.is_forget).tolist() == split.forget.tolist()
    assert set(first.labels[first.is_forget].tolist()) == {2}
    assert first.title.startswith("Original, DA 0.")
    run = next(run for run in drawn.store.runs(method="original") if run.outputs)
    (drawn.store.outputs_folder / run.outputs.file).unlink()
    with pytest.raises(MissingRunError, match="Figure 4 has no intact outputs of original, forget 2"):
        clouds_of("4", drawn.placed(entry), drawn.store, "pca")
    invoke("reproduce", "--figure", "4", "--workers", "1")
    assert np.array_equal(clouds_of("4", drawn.placed(entry), drawn.store, "pca").panels[0].points, first.points)


def test_figure_1_shows_the_models_with_and_without_the_class(drawn: Bench) -> None:
    invoke("reproduce", "--figure", "1", "--workers", "1")
    for name in ("one", "two"):
        invoke("figure", "1", "--embedding", "pca", "--output", f"{name}.png")
    assert Path("one.png").read_bytes() == Path("two.png").read_bytes()
    invoke("figure", "1", "--embedding", "pca", "--output", "one.svg")
    assert "Two principal components" in Path("one.svg").read_text()


def test_principal_components_are_scikit_learns_up_to_sign() -> None:
    features = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32) * np.arange(1, 8, dtype=np.float32)
    ours, theirs = embed(features, "pca"), PCA(2).fit_transform(features.astype(np.float64))
    assert np.allclose(np.abs(ours), np.abs(theirs), atol=1e-5)


@pytest.mark.slow
def test_umap_gives_the_same_points_every_time() -> None:
    pytest.importorskip("umap", reason="umap-learn is not installed")
    features = np.concatenate([np.random.default_rng(0).normal(k * 5, 1, (40, 6)) for k in range(3)]).astype(np.float32)
    one, two = embed(features, "umap"), embed(features, "umap")
    assert np.array_equal(one, two)
    middles = one.reshape(3, 40, 2).mean(axis=1)
    assert np.linalg.norm(one.reshape(3, 40, 2) - middles[:, None], axis=-1).mean() < np.ptp(middles, axis=0).max() / 2


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        (["figure", "33", "--output", "a.png"], UnknownNameError, "No figure named '33'"),
        (["figure", "3", "--table", "3", "--output", "a.png"], OptionError, "--table 3 is of the figure gaps"),
        (["figure", "1", "--embedding", "tsne", "--output", "a.png"], UnknownNameError, "No embedding named 'tsne'"),
        (["figure", "1", "--output", "a.jpg"], OptionError, "expected a name that ends in .png"),
        (["reproduce"], OptionError, "Give --table or --figure"),
        (["reproduce", "--table", "3", "--figure", "3"], OptionError, "Give --table or --figure"),
        (
            ["figure", "1", "--forget", "1", "--forget", "3", "--output", "a.png"],
            OptionError,
            "shows one configuration",
        ),
    ],
)
def test_wrong_figures_are_refused(drawn: Bench, words: list[str], error: type[Exception], says: str) -> None:
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, error)
    assert says in str(result.exception)
    assert not Path("a.png").exists()


def test_predictions_are_divided_as_the_data_set_is() -> None:
    dataset = load("digits", folder=Path("nowhere"), train_per_class=24, test_per_class=8)
    from unlearn_bench.models import build

    network = build({"name": "resnet18", "width": 4, "groups": 2}, channels=1, classes=10, seed=1)
    split = divide(dataset, "class", "3", {})
    normalise = Normalise(dataset.mean, dataset.std)
    outputs = arrange(predict_all(network, dataset.test, split, normalise), split)
    assert set(outputs.forget.labels.tolist()) == set(outputs.test_forget.labels.tolist()) == {3}
    assert len(outputs.retain) + len(outputs.forget) == len(dataset.train)
    assert {metric.name for metric in metrics} >= set(TRACED_METRICS)
