"""What a table says: the view by class, audit of metrics, claims, the paper's numbers beside ours."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.benchmark import new_run
from support.command import command

from unlearn_bench.config.benchmarks import Row, load
from unlearn_bench.config.selection import Choice
from unlearn_bench.core.errors import ConfigError, MissingRunError, OptionError
from unlearn_bench.data.loading import load as load_images
from unlearn_bench.data.scenarios import split_dataset
from unlearn_bench.models.outputs import predict
from unlearn_bench.report.bench import Bench
from unlearn_bench.report.cheat_audit import audit_metrics
from unlearn_bench.report.claims import CurveReader, TableReader, judge
from unlearn_bench.report.classes import describe_classes
from unlearn_bench.report.curves import Curves, Line
from unlearn_bench.report.render import against_paper, with_notes
from unlearn_bench.report.tables import Cell, Table, TableRow
from unlearn_bench.report.verdicts import findings
from unlearn_bench.running.making import ExecutionConfig, make_runs
from unlearn_bench.running.plan import make_plan
from unlearn_bench.running.runner import Runner
from unlearn_bench.store import Store
from unlearn_bench.store.records import MetricRecord
from unlearn_bench.training.monitor import RunMonitor


def table(*rows: TableRow, name: str = "3") -> Table:
    columns = (MetricRecord("da", "DA", "", "higher", ""), MetricRecord("acc", "Acc", "%", "higher", ""))
    return Table(name, "Small", columns, rows, ())


def row(method: str, da: float, acc: float, da_gap: float | None = None, acc_gap: float | None = None) -> TableRow:
    cells = (Cell(da, None, 2, da_gap, published=0.5), Cell(acc, None, 2, acc_gap))
    return TableRow(method, method.upper(), "D", method in ("original", "retrained"), cells, 2)


FULL = table(
    row("original", 0.4, 90, 0.5, 90),
    row("retrained", 0.9, 0),
    row("cheat", 0.4, 0, 0.5, 0),
    row("muda", 0.8, 3, 0.1, 3),
)


def test_the_view_by_class_against_the_stored_models(bench: Bench, execution: ExecutionConfig) -> None:
    """Counts of real runs, counted again by hand from the models that were stored."""
    make_runs(bench, [Row(method="retrained"), Row(method="original"), Row(method="ft")], execution)
    placed = [(row, bench.as_recorded(selection)) for row, selection in bench.placed(bench.benchmarks.table("3"))]
    header, body, _ = describe_classes(placed, bench.store)
    assert header == ["Method", *"0123456789", "D_f is classified as", "distance"]
    dataset = load_images("digits", folder=Path("nowhere"), train_per_class=24, test_per_class=8)
    runner = Runner(bench.store, dataset, torch.device("cpu"))
    changes, apart = [], []
    for forget in ("1", "3"):
        split = split_dataset(dataset, "class", forget, {})
        named = {}
        for method in ("retrained", "ft"):
            plan = make_plan(bench.selection, [Row(method=method)], dataset, bench.store)
            (task,) = [t for t in plan.tasks if (t.spec.method, t.spec.forget) == (method, forget)]
            network, _ = runner.weights(task, split, RunMonitor())
            tested = predict(network, dataset.test, runner.normalise_for(network)).logits.argmax(1)
            seen = predict(network, split.train[split.forget], runner.normalise_for(network)).logits.argmax(1)
            named[method] = (
                (tested == dataset.test.labels)[dataset.test.labels == 7],
                torch.bincount(seen, minlength=10),
            )
        changes.append(100 * float(named["ft"][0].double().mean() - named["retrained"][0].double().mean()))
        one, other = (named[method][1].double() / 24 for method in ("ft", "retrained"))
        apart.append(float((one - other).abs().sum()) / 2)
    line = next(line for line in body if line[0] == "FT")
    assert line[1 + 7] == f"{np.mean(changes):+.1f}"
    assert line[-1] == f"{np.mean(apart):.2f}"
    assert next(line for line in body if line[0] == "Retrained")[-1] == "0.00"


def test_a_metric_that_a_cheat_passes_is_named() -> None:
    header, body, notes = audit_metrics(FULL, ["cheat"])
    assert header == ["Metric", "CHEAT", "verdict"]
    assert body == [["DA", "0%", "holds"], ["Acc", "100%", "passed by CHEAT"]]
    assert notes[-1] == "Metrics that a cheat passes: acc."
    with pytest.raises(MissingRunError, match="and for a cheat"):
        audit_metrics(FULL, ["other"])


@pytest.mark.parametrize(
    ("test", "verdict", "figures"),
    [
        ('value("retrained", "da") > value("original", "da")', "held", "retrained da 0.9; original da 0.4"),
        ('value("CHEAT", "da") == value("original", "da") and gap("cheat", "acc") < 1', "held", None),
        ('mean_gap("muda") > 0.2', "not held", "muda mean gap 0.065"),
        ('smallest_mean_gap() == "muda"', "held", "mean gaps muda 0.065, cheat 0.250"),
        ('not gap("muda", "da") * 2 + 1 >= -3 / 2', "not held", "muda da gap 0.1"),
        ('gap("retrained", "da") == 0', "held", "retrained da gap 0"),
    ],
)
def test_claims_are_judged_with_their_figures(test: str, verdict: str, figures: str | None) -> None:
    judged = judge(test, TableReader(FULL))
    assert judged.verdict == verdict
    if figures is not None:
        assert judged.figures == figures


def test_a_claim_on_missing_runs_is_not_measured() -> None:
    incomplete = TableRow("ft", "FT", "D", False, (Cell(None, None, 0, None), Cell(1.0, None, 1, 0.1)), 2)
    for test in ('value("ft", "da") > 0', 'value("ft", "acc") > 0'):
        assert judge(test, TableReader(table(incomplete))).verdict == "not measured"


@pytest.mark.parametrize(
    "test",
    [
        '__import__("os").system("true")',
        "open('x')",
        'value.__class__("a")',
        "[1][0] == 1",
        'value("nobody", "da") > 0',
        'value("muda", "nothing") > 0',
        "1 +",
    ],
)
def test_a_claim_can_do_nothing_but_compare(test: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        judge(test, TableReader(FULL))


def test_the_shipped_claims_can_all_be_read(tmp_path: Path) -> None:
    """At every profile, against tables that are empty: what each names exists, and nothing is measured."""
    benchmarks = load(Path(__file__).parents[2] / "benchmarks.yaml")
    assert len(benchmarks.claims) >= 15
    assert [claim.says for claim in benchmarks.claims if not claim.about] == [
        "Finetuning the classifier alone does not change the features"  # which holds by construction
    ]
    for profile in benchmarks.profiles:
        bench = Bench.choose(benchmarks, Store(f"sqlite:///{tmp_path / profile}.sqlite"), Choice(profile=profile))
        assert {finding.judged.verdict for finding in findings(bench)} == {"not measured"}
    for claim in (claim for claim in benchmarks.claims if claim.figure):
        figure = benchmarks.figure(claim.figure)
        lines = [Line(row.method, row.method, name, ()) for row in figure.full_rows for name in figure.metrics]
        assert judge(claim.test, CurveReader("", Curves(tuple(lines), ()))).verdict == "not measured"


def test_the_paper_stands_beside_ours() -> None:
    text = against_paper(FULL, "text")
    assert "0.80 / 0.50 (+0.30)" in text
    assert "3.0 / –" in text
    assert "| 0.80 / 0.50 (+0.30)" in against_paper(FULL, "markdown")
    with pytest.raises(OptionError, match="text or markdown"):
        against_paper(FULL, "csv")
    bare = table(TableRow("ft", "FT", "D", False, (Cell(1, None, 2, 0), Cell(1, None, 2, 0)), 2))
    with pytest.raises(OptionError, match="no published numbers"):
        against_paper(bare, "text")


def test_notes_are_escaped_in_markdown() -> None:
    assert "a\\_b" in with_notes(["a_b"], [["c"]], ["n_o"], "markdown")


def test_the_reports_as_typed(bench: Bench, home: Path) -> None:
    for seed, shift in ((0, 0.0), (1, 0.02)):
        for method, (da, lp) in (("original", (0.4, 90.0)), ("retrained", (0.8, 60.0)), ("ft", (0.79, 61.0))):
            options: dict[str, object] = {"epochs": 2} if method == "ft" else {}
            for forget in ("1", "3"):
                run = new_run(bench, method, forget, (da + shift, lp), options=options)
                bench.store.record(replace(run, spec=replace(run.spec, seed=seed)))
    floor = command("report", "--table", "3", "--noise-floor")
    assert floor.returncode == 0, floor.stderr
    assert "Typical difference of two retrained models (from 2 seeds" in floor.stdout
    assert "-0.02 [" in next(line for line in floor.stdout.splitlines() if line.startswith("FT"))
    assert "Verdicts on 2 differences of methods: 1 different, 0 equivalent, 1 undecided." in floor.stdout
    both = command("report", "--table", "3", "--noise-floor", "--against-paper")
    assert (both.returncode, both.stderr.count("\n")) == (2, 1)
    cheats = command("report", "--table", "3", "--audit-metrics")
    assert (cheats.returncode, cheats.stderr.count("\n")) == (2, 1)
    assert "needs rows for the original model and for a cheat" in cheats.stderr
    claim = """
claims:
  - {says: DA rises, table: "3", test: 'value("retrained", "da") > value("original", "da")'}
"""
    (home / "benchmarks.yaml").write_text((home / "benchmarks.yaml").read_text() + claim)
    claimed = command("claims")
    assert claimed.returncode == 0, claimed.stderr
    assert "1 held, 0 not held, 0 not measured." in claimed.stdout
    assert "counted once" not in claimed.stdout
    (home / "benchmarks.yaml").write_text((home / "benchmarks.yaml").read_text() + claim.split("claims:\n")[1])
    twice = command("claims").stdout
    assert "1 held, 0 not held, 0 not measured." in twice
    assert "2 claims are 1 finding: the same test of the same values is counted once." in twice
