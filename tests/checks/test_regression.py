"""check: what was recorded holds, within tolerance and spread, and what is planted is found."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import stats
from support.benchmark import SMALL
from support.command import command

from unlearn_bench.checks import regression
from unlearn_bench.checks.regression_report import power_to_text, to_junit, to_text, verdict
from unlearn_bench.cli.check import temporary_store
from unlearn_bench.config import expectations
from unlearn_bench.config.benchmarks import load as load_config
from unlearn_bench.config.expectations import (
    HEADER,
    Comparison,
    Expectation,
    Expected,
    read_expectations,
    recorded_expectations,
    write_expectations,
)
from unlearn_bench.core.errors import ConfigError
from unlearn_bench.report.tables import Cell, Table, TableRow
from unlearn_bench.store.records import MetricRecord

COLUMNS = (MetricRecord("da", "DA", "", "higher", ""), MetricRecord("lp_retain", "LP(D_r)", "%", "near retrained", ""))


REPOSITORY = Path(__file__).parents[2]


def table_of(values: dict[str, tuple[float | None, float | None]]) -> Table:
    """A table at one seed with two forget sets; a value that is None stands for a run that is not done."""
    rows = [
        TableRow(
            method=method,
            label=method.upper(),
            train_set="",
            is_reference=method == "retrained",
            cells=tuple(Cell(value, None, 2 if value is not None else 1, None) for value in pair),
            expected=2,
        )
        for method, pair in values.items()
    ]
    return Table("T", "a table", COLUMNS, tuple(rows), ())


EMPTY = Expectation(table="T", profile="tiny", forget=["1"], seeds=[0], tolerance={}, measured="", values={})


def test_what_is_recorded_is_the_first_seed_the_mean_and_the_spread() -> None:
    made = {seed: table_of({"retrained": (0.9, 90.0), "muda": (value, None)}) for seed, value in ((4, 0.5), (2, 0.7))}
    entry = regression.record(EMPTY, made, "by hand")
    assert entry.seeds == [4, 2]
    assert entry.tolerance == {"da": 0.01, "lp_retain": 1.0}
    assert entry.values["muda"] == {"da": Expected(0.5, 0.6, float(f"{np.std([0.5, 0.7], ddof=1):.5g}"))}
    assert entry.values["retrained"]["lp_retain"] == (90.0, 90.0, 0.0)


def test_the_margin_is_the_prediction_interval_of_student() -> None:
    values = np.random.default_rng(0).normal(0.6, 0.05, 20)
    entry = regression.record(EMPTY, {seed: table_of({"muda": (v, 80.0)}) for seed, v in enumerate(values)}, "")
    (da, lp) = regression.compare(entry, {0: table_of({"muda": (values[0], 80.0)})})
    level = 1 - expectations.FALSE_ALARMS / 2  # two values are compared
    _, upper = stats.t.interval(level, df=19, loc=0, scale=np.std(values, ddof=1) * np.sqrt(1 + 1 / 20))
    assert da.margin == pytest.approx(upper, rel=1e-4)
    assert (lp.margin, lp.mark, da.mark) == (1.0, "same", "same")
    (of_three, _) = regression.compare(entry, {seed: table_of({"muda": (0.6, 80.0)}) for seed in (30, 31, 32)})
    assert of_three.margin == pytest.approx(upper / np.sqrt(1 + 1 / 20) * np.sqrt(1 / 3 + 1 / 20), rel=1e-4)
    assert of_three.before == pytest.approx(values.mean(), rel=1e-4)  # at other seeds: against the mean


def test_unchanged_code_fails_no_more_often_than_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expectations, "FALSE_ALARMS", 0.1)  # rarer ones would take too many draws
    expectations.margin_factor.cache_clear()
    draw, failed, checks = np.random.default_rng(1), 0, 1500
    for _ in range(checks):
        seeds = {s: table_of({f"m{k}": tuple(draw.normal([0.5, 80], [0.1, 8])) for k in range(3)}) for s in range(6)}
        fresh = {9: table_of({f"m{k}": tuple(draw.normal([0.5, 80], [0.1, 8])) for k in range(3)})}
        failed += any(each.fails for each in regression.compare(regression.record(EMPTY, seeds, ""), fresh))
    expectations.margin_factor.cache_clear()
    assert stats.binomtest(failed, checks, 0.1, alternative="greater").pvalue > 1e-3
    assert failed > checks * 0.02  # nor is it deaf


@pytest.mark.parametrize(
    ("muda", "mark"),
    [
        (0.70, "same"),
        (0.709, "within"),
        (0.68, "worse"),  # retrained: 0.9
        (0.75, "better"),
        (1.3, "worse"),  # beyond retrained, and farther than before
        (None, "lost"),
    ],
)
def test_marks(muda: float | None, mark: str) -> None:
    entry = regression.record(EMPTY, {0: table_of({"retrained": (0.9, 90.0), "muda": (0.7, 80.0)})}, "")
    found = regression.compare(entry, {0: table_of({"retrained": (0.9, 90.0), "muda": (muda, 80.0)})})
    by_place = {(each.method, each.metric): each for each in found}
    assert by_place["muda", "da"].mark == mark
    assert by_place["muda", "da"].fails == (mark not in ("same", "within"))
    assert by_place["retrained", "lp_retain"].mark == "same"


def test_disturbances_are_compared_with_their_mean_and_power_is_said() -> None:
    """The first repeat itself may lie at the edge of what rounding does: the centre is the mean of all repeats."""
    disturbed = EMPTY.model_copy(update={"disturbances": 3})
    made = {k: table_of({"muda": (value, 80.0)}) for k, value in enumerate((0.60, 0.62, 0.63, 0.63))}
    entry = regression.record(disturbed, made, "")
    assert (entry.seeds, entry.repeats, entry.tolerance) == ([0], [0, 1, 2, 3], {"da": 0.005, "lp_retain": 0.6})
    margin = entry.margins()["muda", "da"]
    spread = float(np.std([0.60, 0.62, 0.63, 0.63], ddof=1))
    wanted = stats.t.isf(expectations.FALSE_ALARMS / 4, 3) * spread * np.sqrt(1 + 1 / 4)
    assert margin == pytest.approx(wanted, rel=1e-3)
    for value, mark in ((0.60, "same"), (0.62 + 0.99 * margin, "within"), (0.62 + 1.01 * margin, "changed")):
        assert regression.compare(entry, {0: table_of({"muda": (value, 80.0)})})[0].mark == mark
    assert entry.power()["muda", "da"] == pytest.approx(margin + 1.645 * spread, rel=1e-3)
    assert entry.power()["muda", "lp_retain"] == 0.6
    assert "finds" in power_to_text("mine", entry)


def test_a_reference_that_moves_is_changed_and_a_new_method_unexpected() -> None:
    entry = regression.record(EMPTY, {0: table_of({"retrained": (0.9, 90.0)})}, "")
    found = regression.compare(entry, {0: table_of({"retrained": (0.8, 90.0), "ft": (0.1, 90.0)})})
    assert [each.mark for each in found] == ["changed", "same", "unexpected", "unexpected"]
    assert verdict(found) == "1 of 4 values differ from the recorded ones: retrained."
    assert verdict(found[1:]) == "1 of 3 values are as recorded; 2 have no expectation."


def test_what_fails_at_one_seed_must_fail_at_more() -> None:
    """A collapse at one seed of three is within what a mean of three may do, a fault at all of them is not."""
    usual = {seed: table_of({"muda": (0.6 + seed / 100, 80.0)}) for seed in range(5)}
    entry = regression.record(EMPTY, usual, "")
    fell = {9: table_of({"muda": (0.5, 80.0)})}
    first = regression.compare(entry, fell)
    assert [each.mark for each in first] == ["changed", "same"]
    settled = regression.settle(first, regression.compare(entry, {**fell, 0: usual[0], 1: usual[1]}))
    assert [each.mark for each in settled] == ["within", "same"]
    assert settled[0].after == pytest.approx((0.5 + 0.6 + 0.61) / 3)
    lower = {seed: table_of({"muda": (0.4, 80.0)}) for seed in (9, 0, 1)}
    assert regression.settle(first, regression.compare(entry, lower))[0].fails


def test_a_file_of_expectations_comes_back_whole(tmp_path: Path) -> None:
    file, entry = tmp_path / "b.yaml", regression.record(EMPTY, {0: table_of({"it's: #1": (0.7, 80.0)})}, "é: #")
    for _ in range(2):  # and again, over its own
        write_expectations(file, {"demo": entry, "1": entry})
        assert read_expectations(file) == {"demo": entry, "1": entry}
    assert file.read_text().startswith(HEADER)
    assert [path.name for path in tmp_path.iterdir()] == ["b.yaml"]


def test_expectations_of_an_older_benchmarks_file_are_read(home: Path) -> None:
    """They stood in benchmarks.yaml; ``check --update`` writes results/expectations.yaml, which comes first."""
    entry = regression.record(EMPTY, {0: table_of({"muda": (0.7, 80.0)})}, "")
    write_expectations(home / "section.yaml", {"old": entry, "both": entry})
    with (home / "benchmarks.yaml").open("a") as benchmarks:
        benchmarks.write((home / "section.yaml").read_text())
    loaded = load_config()
    assert recorded_expectations(loaded.home, loaded.file, loaded.expectations) == {"old": entry, "both": entry}
    newer = entry.model_copy(update={"measured": "later"})
    write_expectations(home / "results" / "expectations.yaml", {"both": newer})
    assert recorded_expectations(loaded.home, loaded.file, loaded.expectations) == {"old": entry, "both": newer}


@pytest.mark.parametrize(("value", "place"), [("[1, 1, .inf]", "muda.da"), ("[1, .nan, 0]", "muda.da")])
def test_expectations_that_anything_would_meet_are_refused(tmp_path: Path, value: str, place: str) -> None:
    entry = "table: A, profile: demo, forget: ['1'], seeds: [0], tolerance: {}, measured: ''"
    (tmp_path / "b.yaml").write_text(f"expectations:\n  demo: {{{entry}, values: {{muda: {{da: {value}}}}}}}\n")
    with pytest.raises(ConfigError, match=place):
        read_expectations(tmp_path / "b.yaml")


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("tables: {}\n")
    with pytest.raises(ConfigError, match="no key 'expectations'"):
        read_expectations(tmp_path / "a.yaml")
    (tmp_path / "b.yaml").write_text("expectations: {demo: {table: A}}\n")
    with pytest.raises(ConfigError, match=r"expectations\.demo\.profile"):
        read_expectations(tmp_path / "b.yaml")


def test_junit_counts_and_names() -> None:
    hostile = Comparison('<m> & "x"\n', "da", 0.5, 0.7, 0.01, "worse")
    found = [hostile, replace(hostile, mark="same"), replace(hostile, before=None, mark="unexpected")]
    root = ElementTree.fromstring(to_junit("demo", found, 1.5))
    suite = root.find("testsuite")
    assert suite is not None
    assert [suite.get(name) for name in ("tests", "failures", "skipped", "errors")] == ["3", "1", "1", "0"]
    assert [[child.tag for child in case] for case in suite] == [["failure"], [], ["skipped"]]
    assert suite[0].get("classname") == 'demo.<m> & "x" '
    assert "before 0.5, after 0.7, difference +0.2, margin 0.01" in str(suite[0][0].get("message"))
    assert r"\<m\> &amp; " in to_text("demo", found, "markdown")


@pytest.mark.slow
def test_check_as_typed(home: Path) -> None:
    """Recorded: 0. A value that moved: 1, with its line, in every form. One of which nothing is recorded: 2."""
    held, db = home / "held.yaml", ("--db", "sqlite:///kept.sqlite")
    words = ("--table", "3", "--forget", "1", "--expectations", "held.yaml", *db)
    made = command("check", "mine", "--update", *words)
    assert made.returncode == 0, made.stderr
    assert "Recorded mine in held.yaml: 1 repeats" in made.stdout
    assert (home / "benchmarks.yaml").read_text() == SMALL
    text, entry = held.read_text(), read_expectations(held)["mine"]
    da = entry.values["muda"]["da"]
    values = {**entry.values, "muda": {**entry.values["muda"], "da": Expected(da.value / 2, da.mean / 2, 0.0)}}
    write_expectations(held, {"mine": entry.model_copy(update={"values": values})})
    reports = ("--junit", "out/j.xml", "--summary", "out/s.md")
    failed = command("check", "mine", "--expectations", "held.yaml", *db, *reports)
    assert failed.returncode == 1, failed.stderr
    assert failed.stdout.count("  =\n") == 7
    lines = [line.split() for line in failed.stdout.splitlines() if "✗" in line and line.startswith("muda")]
    assert [(line[1], line[2], line[3]) for line in lines] == [("da", f"{da.value / 2:.5g}", f"{da.value:.5g}")]
    assert ElementTree.parse(home / "out" / "j.xml").getroot().get("failures") == "1"
    assert "1 of 8 values differ from the recorded ones: muda." in (home / "out" / "s.md").read_text()
    again = command("check", "mine", "--update", "--expectations", "held.yaml", *db)
    assert again.returncode == 0
    assert "✗" in again.stdout  # what the update changes
    assert held.read_text() == text
    values = {method: values[method] for method in ("retrained", "ft")}
    write_expectations(held, {"mine": entry.model_copy(update={"values": values})})
    new = command("check", "mine", "--expectations", "held.yaml", *db)
    assert new.returncode == 2
    assert "unlearn-bench check mine --expectations held.yaml --update" in new.stderr


def test_without_a_database_runs_are_made_in_one_that_is_gone_afterwards() -> None:
    with temporary_store(None) as store:
        assert store.path is not None
        assert store.path.exists()
    assert not store.path.parent.exists()


def test_wrong_use_of_check(home: Path) -> None:
    (home / "held.yaml").write_text("expectations: {}\n")
    for words, says in (
        (("--table", "3"), "Add --update"),
        ((), "No expectations are recorded under the name 'demo'. Known: none."),
        (("--expectations", "none.yaml"), "There is no file none.yaml"),
        (("x", "--expectations", "held.yaml"), "No expectations are recorded under the name 'x'"),
        (("x", "--update", "--table", "9"), "No table named '9'"),
    ):
        refused = command("check", *words)
        assert (refused.returncode, refused.stdout) == (2, ""), refused.stderr
        assert says in refused.stderr
