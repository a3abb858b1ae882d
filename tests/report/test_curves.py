"""Curves of a figure: traced while a run is made, read with their ends, and judged by claims."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from support.invocation import invoke
from support.pictures import panels_of, points_of, words_of

from unlearn_bench.config.benchmarks import Row
from unlearn_bench.config.selection import Choice
from unlearn_bench.core.errors import MissingRunError
from unlearn_bench.metrics import metrics
from unlearn_bench.report.bench import Bench
from unlearn_bench.report.claims import CurveReader, judge
from unlearn_bench.report.curves import Curves, Line, Trace, curves_of
from unlearn_bench.report.figures import figure_of
from unlearn_bench.running.making import ExecutionConfig, make_runs, reproduce
from unlearn_bench.running.runner import Runner
from unlearn_bench.running.tasks import TRACED_METRICS, Task


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
