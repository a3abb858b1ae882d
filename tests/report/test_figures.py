"""Figures of the record: curves that are traced, features that are stored, gaps, and what is drawn of them."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.decomposition import PCA
from support.benchmark import SMALL, new_run
from support.page import fill
from support.pictures import figure_texts, panels_of, points_of, words_of
from typer.testing import CliRunner

from unlearn_bench.cli import app
from unlearn_bench.config.benchmarks import Row
from unlearn_bench.config.benchmarks import load as load_config
from unlearn_bench.config.selection import Choice
from unlearn_bench.core.errors import MissingRunError, OptionError, UnknownNameError
from unlearn_bench.data.loading import load
from unlearn_bench.data.scenarios import split_dataset
from unlearn_bench.metrics import metrics
from unlearn_bench.report.bench import Bench
from unlearn_bench.report.claims import CurveReader, judge
from unlearn_bench.report.curves import Curves, Line, Trace, curves_of
from unlearn_bench.report.embedding import clouds_of, embed
from unlearn_bench.report.figures import figure_of, gaps_of
from unlearn_bench.running.making import ExecutionConfig, make_runs, reproduce
from unlearn_bench.running.runner import Runner
from unlearn_bench.running.tasks import TRACED_METRICS, Task

FIGURES = """
figures:
  "1": {title: Clouds, kind: features, scenario: incremental, forget: [9], rows: [retrained, original]}
  "3":
    title: Curves
    kind: curves
    metrics: [lp_retain, da]
    trace_every: 5
    rows: [original, retrained, muda, {method: neggrad, options: {lr: 10}}]
    options: {tiny: {muda: {iterations: 12}, neggrad: {epochs: 60}}}
  "4": {title: Backdoor, kind: features, scenario: backdoor, forget: [2], rows: [original, muda]}
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


def test_a_trace_measures_without_touching_the_run(drawn: Bench, execution: ExecutionConfig) -> None:
    """The traced run's weights are those of the same run untraced, its budget too; a point is measured by hand."""
    entry = drawn.benchmarks.figure("3")
    outcome = reproduce(drawn, [entry], execution)
    assert outcome.made.count("diverged") == 2
    plain = Bench.choose(drawn.benchmarks, drawn.store)
    make_runs(plain, [Row(method="muda", options={"iterations": 12}), Row(method="retrained")], execution)
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


def test_a_point_on_the_way_is_the_models_own(drawn: Bench, execution: ExecutionConfig) -> None:
    """A method that stops where a longer one goes on: its end is the longer one's point at that step."""
    every = replace(drawn.selection.experiment, trace_every=2)
    here = replace(drawn, selection=replace(drawn.selection, experiment=every, forget=("1",)))
    make_runs(here, [Row(method="neggrad", options={"epochs": epochs, "lr": 0.01}) for epochs in (2, 4)], execution)
    short, long = sorted(here.store.runs(method="neggrad"), key=lambda run: run.options["epochs"])
    assert short.model
    (end,) = {step for step, name, _ in here.store.curves([short.key], ["loss"])[short.key]} - {1}
    found = {
        name: value for step, name, value in here.store.curves([long.key], TRACED_METRICS)[long.key] if step == end
    }
    assert found == {name: short.values[name] for name in TRACED_METRICS}


def test_curves_are_read_with_their_ends_and_levels(drawn: Bench, execution: ExecutionConfig) -> None:
    entry = drawn.benchmarks.figure("3")
    with pytest.raises(MissingRunError, match=r"0 of 2 runs of original\. Make .* with: .* --figure 3"):
        curves_of("3", entry, drawn.placed(entry), drawn.store)
    reproduce(drawn, [entry], execution)
    curves = curves_of("3", entry, drawn.placed(entry), drawn.store)
    by_name = {(line.method, line.metric): line for line in curves.lines}
    assert by_name["original", "da"].level is not None
    assert by_name["original", "da"].traces == ()
    assert [trace.diverged for trace in by_name["neggrad", "da"].traces] == [True, True]
    muda = by_name["muda", "lp_retain"]
    assert [step for step, _ in muda.mean] == [0, 5, 10, 12]
    assert "Measured every 5 steps" in curves.notes[-1]
    panels = panels_of(figure_of(drawn, "3", None))
    assert [panel["title"] for panel in panels] == ["LP(D_r) %", "DA"]
    runs = {run.forget: run for run in drawn.store.runs(method="muda")}
    for panel, metric in zip(panels, entry.metrics, strict=True):
        recorded = [drawn.store.curves([run.key], [metric])[run.key] for run in runs.values()]
        means = [sum(values) / 2 for values in zip(*([value for _, _, value in one] for one in recorded), strict=True)]
        thick = [point for point in points_of(panel, "line", strokeWidth=1.6) if point["Method"] == "MUDA"]
        assert [point["value"] for point in thick] == pytest.approx(means, rel=1e-12)
    invoke("figure", "3", "--output", "f3.svg")
    words = " ".join(words_of(Path("f3.svg").read_bytes()))
    expected = ("Figure 3. Curves: digits, profile tiny", "MUDA", "NegGrad", "Retrained", "iterations", "diverged")
    assert all(word in words for word in expected)
    assert "loss is nan after" in words
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


def test_the_end_of_a_curve_is_the_model_that_is_stored(drawn: Bench, execution: ExecutionConfig) -> None:
    """A cheat without a step, and a method that goes back to an earlier student."""
    every = replace(drawn.selection.experiment, trace_every=1)
    here = replace(drawn, selection=replace(drawn.selection, experiment=every, forget=("1",)))
    rewound = Row(method="scrub", options={"rewind": True, "epochs": 4, "msteps": 4, "lr": 0.3})
    make_runs(here, [Row(method="bias_cheat"), rewound], execution)
    for method in ("bias_cheat", "scrub"):
        (run,) = here.store.runs(method=method)
        assert run.status == "done"
        last: dict[str, float] = {}
        for _, name, value in here.store.curves([run.key], TRACED_METRICS)[run.key]:
            last[name] = value
        assert last == {name: run.values[name] for name in TRACED_METRICS}


def test_a_failed_run_is_missing_and_one_that_never_began_is_told(
    drawn: Bench, execution: ExecutionConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = drawn.benchmarks.figure("3")
    real = Runner.problem

    def fails(self: Runner, task: Task, *rest: object) -> object:
        if task.spec.method == "muda":
            raise ValueError("no")
        return real(self, task, *rest)  # type: ignore[arg-type]  # passed on as they came

    with monkeypatch.context() as patched:
        patched.setattr(Runner, "problem", fails)
        reproduce(drawn, [entry], execution)
    with pytest.raises(MissingRunError, match="0 of 2 runs of muda"):
        curves_of("3", entry, drawn.placed(entry), drawn.store)
    sequence = Bench.choose(drawn.benchmarks, drawn.store, Choice(forget=("1>3",)))
    reproduce(sequence, [entry], execution)
    curves = curves_of("3", entry, sequence.placed(entry), sequence.store)
    assert any("NegGrad, forget 1>3, seed 0: diverged" in note for note in curves.notes)
    invoke("figure", "3", "--forget", "1", "--then", "3", "--output", "sequence.svg")
    assert judge('diverged("neggrad") == 1', CurveReader("3", curves)).verdict == "held"


def test_a_metric_that_is_defined_anew_is_traced_anew(
    drawn: Bench, execution: ExecutionConfig, register: Callable[..., ExitStack]
) -> None:
    entry = drawn.benchmarks.figure("3")
    one = replace(drawn, choice=Choice(forget=("1",)))
    reproduce(one, [entry], execution)
    assert reproduce(one, [entry], execution).made == ()
    register(metrics, replace(metrics.get("lp_retain"), version=99))
    reproduce(one, [entry], execution)
    assert len(one.store.runs(method="muda")) == 2


def test_clouds_are_the_stored_features_with_the_forget_set_marked(drawn: Bench, execution: ExecutionConfig) -> None:
    entry = drawn.benchmarks.figure("4")
    said = invoke("reproduce", "--figure", "4", "--workers", "1")
    assert "Draw it with: unlearn-bench figure 4 --profile tiny --output figure-4.png" in said
    clouds = clouds_of("4", drawn.placed(entry), drawn.store, "pca")
    dataset = load("digits", folder=Path("nowhere"), train_per_class=24, test_per_class=8)
    split = split_dataset(dataset, "backdoor", "2", drawn.benchmarks.profiles["tiny"].scenarios["backdoor"])
    first = clouds.panels[0]
    assert np.flatnonzero(first.is_forget).tolist() == split.forget.tolist()
    assert set(first.labels[first.is_forget].tolist()) == {2}
    assert first.title.startswith("Original, DA 0.")
    run = next(run for run in drawn.store.runs(method="original") if run.outputs)
    stored = load_file(drawn.store.outputs_folder / run.outputs.file)
    panel = panels_of(figure_of(drawn, "4", "pca"))[0]
    crosses = [(point["x"], point["y"]) for point in points_of(panel, "point", color="black")]
    assert np.allclose(crosses, embed(stored["train.features"], "pca")[split.forget.numpy()], rtol=1e-3)
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
    words = words_of(Path("one.svg").read_bytes())
    assert words[-1] != words[0] == "retain set, a colour for each class"
    assert "Figure 1. Clouds: digits, profile tiny" in words
    assert any("Two principal components" in word for word in words)


def test_gaps_are_those_of_the_table_with_the_floor_of_the_record(bench: Bench) -> None:
    fill(bench)
    assert "No band" in figure_texts(gaps_of(bench, "3"))
    for forget, value in (("1", 0.93), ("3", 1.0)):
        again = new_run(bench, "retrained", forget, (value, 63.0))
        bench.store.record(replace(again, spec=replace(again.spec, seed=1)))
    spec, table = gaps_of(bench, "3"), bench.table("3")
    for k, panel in enumerate(panels_of(spec)):
        gaps = {row.label: row.cells[k].gap for row in table.rows if not row.is_reference}
        assert {point["Method"]: point["gap"] for point in points_of(panel, "point")} == gaps
    bands = [points_of(panel, "rect")[0]["high"] for panel in panels_of(spec)]
    assert bands == pytest.approx([2 / np.sqrt(np.pi) * 0.015 / np.sqrt(2), 2 / np.sqrt(np.pi) / np.sqrt(2)])
    assert "No band" not in figure_texts(spec)
    for suffix in ("png", "pdf", "svg"):
        assert invoke("figure", "gaps", "--output", f"gaps.{suffix}") == f"Written to gaps.{suffix}\n"
    assert Path("gaps.pdf").read_bytes().startswith(b"%PDF")
    assert "Table 3. Small: digits, profile tiny" in words_of(Path("gaps.svg").read_bytes())


def test_no_band_is_drawn_for_rows_of_several_data_sets(home: Path, bench: Bench) -> None:
    rows = "[ft, {method: ft, dataset: cifar10, label: elsewhere}]"
    (home / "benchmarks.yaml").write_text(
        SMALL.split("tables:")[0] + f'tables:\n  "3": {{title: Two, metrics: [da], rows: {rows}}}\n'
    )
    for dataset in ("digits", "cifar10"):
        fill(Bench.choose(load_config(), bench.store, Choice(dataset=dataset)))
    spec = gaps_of(Bench.choose(load_config(), bench.store), "3")
    assert "several retrained models" in figure_texts(spec)
    assert [point["Method"] for point in points_of(panels_of(spec)[0], "point")] == ["FT", "elsewhere"]


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
