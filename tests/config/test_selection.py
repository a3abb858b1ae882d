"""A data set that a profile measures in place of the paper's: names are of what was measured, findings stand once."""

import json
import re
from pathlib import Path

import pytest
from support.benchmark import new_run
from support.command import command

from unlearn_bench.cli.catalogue import list_kind
from unlearn_bench.config.benchmarks import Row, load
from unlearn_bench.config.selection import Choice, place_rows, title_of
from unlearn_bench.core.errors import ConfigError
from unlearn_bench.core.progress import silent
from unlearn_bench.data import datasets
from unlearn_bench.report.bench import Bench
from unlearn_bench.report.page import to_html
from unlearn_bench.report.pages import build_page
from unlearn_bench.report.render import FORMATS, against_paper, to_records, to_text
from unlearn_bench.report.verdicts import findings
from unlearn_bench.store import Store

SHIPPED = Path(__file__).parents[2] / "benchmarks.yaml"
PAPERS = ("CIFAR-10", "CIFAR-100", "Tiny-ImageNet", "CIFAR-20")

WRITTEN = """
version: 1
default_profile: tiny
datasets:
  digits: {label: Digits, profile: tiny, augment: none, forget: {class: [1, 3]}}
  digit_pairs: {profile: tiny, augment: none, forget: {class: [1], subclass: [1]}}
  cifar10: {label: CIFAR-10, profile: tiny, augment: none, forget: {class: [1, 3]}}
  cifar100: {label: CIFAR-100, profile: tiny, augment: none, forget: {class: [1, 3]}}
profiles:
  tiny:
    title: a few digits
    dataset: digits
    instead: {cifar10: digits, cifar100: digits, cifar20: digit_pairs}
    seeds: [0]
    model: {name: resnet18, width: 4, groups: 2}
    recipe: {epochs: 3, batch_size: 16, lr: 0.1, decay: 0.998, weight_decay: 0.001}
    options: {ft: {epochs: 2}}
tables:
  "1":
    title: "Before and after on {dataset}"
    dataset: cifar10
    metrics: [da, lp_forget]
    rows:
      - {method: original, label: "Original, {dataset}", published: {da: 0.34}}
      - {method: retrained, label: "Retrained, {dataset}", published: {da: 0.79}}
      - {method: original, label: "Original, {dataset}", dataset: cifar100, published: {da: 0.50, lp_forget: 75}}
      - {method: retrained, label: "Retrained, {dataset}", dataset: cifar100, published: {da: 0.74}}
  "3":
    title: "Class unlearning"
    dataset: cifar10
    metrics: [da, lp_forget]
    rows: [retrained, ft, muda]
  "4":
    title: "Class unlearning on {dataset}"
    dataset: cifar100
    metrics: [da, lp_forget]
    rows: [retrained, ft, muda]
  "5": {title: Pairs, dataset: cifar20, metrics: [da, lp_forget], rows: [retrained, ft, muda]}
claims:
  - {says: "DA rises: {dataset}", about: [cifar10, cifar100], table: "1",
     test: 'value("Retrained, {dataset}", "da") > value("Original, {dataset}", "da")'}
  - {says: "MUDA is nearest on {dataset}", about: [cifar10], table: "3", test: 'smallest_mean_gap() == "muda"'}
  - {says: "So it is on {dataset}", about: [cifar100], table: "4", test: 'smallest_mean_gap() == "muda"'}
  - {says: "And on {dataset}", about: [cifar20], table: "5", test: 'smallest_mean_gap() == "muda"'}
  - {says: "FT is far", table: "3", test: 'gap("ft", "da") > 0.2'}
  - {says: "FT is farther", about: [cifar10], table: "3", test: 'gap("ft", "da") > 0.9'}
"""
VALUES = {"original": (0.5, 98.0), "retrained": (0.9, 60.0), "ft": (0.55, 90.0), "muda": (0.88, 61.0)}


def record(bench: Bench, forget: tuple[str, ...] = ("1", "3")) -> None:
    """Records runs written by hand on the bench's own configurations."""
    for method, values in VALUES.items():
        for name in forget:
            bench.store.record(new_run(bench, method, name, values, options={"epochs": 2} if method == "ft" else {}))


@pytest.fixture
def bench(home: Path) -> Bench:
    (home / "benchmarks.yaml").write_text(WRITTEN, encoding="utf-8")
    made = Bench.choose(load(), Store(f"sqlite:///{home / 'results' / 'runs.sqlite'}"))
    record(made)
    return made


def on(bench: Bench, dataset: str) -> Bench:
    return Bench.choose(bench.benchmarks, bench.store, Choice(dataset=dataset))


def test_equal_rows_stand_once_under_the_name_of_what_was_measured(bench: Bench) -> None:
    assert to_text(bench.table("1")).split("\n\nMean")[0] == (
        """\
Table 1. Before and after on Digits: digits, profile tiny

Method             Train set    DA         LP(D_f) %
-----------------  -----------  ---------  -----------
Original, Digits   D            0.50±0.00  98.0±0.0
Retrained, Digits  D_r          0.90±0.00  60.0±0.0"""
    )
    assert bench.table("1").notes[-2:] == (
        "digits is measured in place of the paper's cifar10.",
        "digits is measured in place of the paper's cifar100.",
    )
    assert {record["dataset"] for record in to_records(bench.table("4"))} == {"Digits"}


def test_no_output_calls_digits_by_another_name(bench: Bench) -> None:
    for name in ("1", "4"):
        for render in FORMATS.values():
            assert "CIFAR" not in render(bench.table(name))
    page = build_page(bench, ["1", "4"], "pca", silent)
    assert "CIFAR" not in to_html(page)
    assert [len(section.rows) for section in page.tables] == [2, 3]
    status = command("status")
    assert (status.returncode, "CIFAR" in status.stdout) == (0, False)
    assert "Class unlearning on Digits" in status.stdout
    assert ["4", "Class unlearning on CIFAR-100"] in list_kind("tables", bench.benchmarks)[0][1], "the paper's own"


def test_measured_data_sets_of_the_paper_keep_their_rows_and_values(bench: Bench) -> None:
    """Without a stand-in a row each; where the user has one data set for all, the values printed for that one."""
    profile = bench.benchmarks.profiles["tiny"].model_copy(update={"instead": {}})
    whole = bench.benchmarks.model_copy(update={"profiles": {"tiny": profile}})
    entry = whole.table("1")
    placed = Bench.choose(whole, bench.store).placed(entry)
    labels = ["Original, CIFAR-10", "Retrained, CIFAR-10", "Original, CIFAR-100", "Retrained, CIFAR-100"]
    assert [row.label for row, _ in placed] == labels
    assert [row.published["da"] for row, _ in placed] == [0.34, 0.79, 0.50, 0.74]
    assert title_of(entry, placed) == "Before and after on CIFAR-10 and CIFAR-100" == whole.papers_title(entry)
    (original, _), (retrained, _) = on(bench, "cifar100").placed(entry)
    assert (original.label, original.published) == ("Original, CIFAR-100", {"da": 0.50, "lp_forget": 75})
    assert (retrained.published, retrained.elsewhere) == ({"da": 0.74}, ())


def test_rows_that_differ_in_anything_stay_apart(bench: Bench) -> None:
    entry, selection = bench.benchmarks.table("1"), bench.selection
    rows = [
        Row(method="ft"),
        Row(method="ft", options={"epochs": 3}),
        Row(method="ft", options={"epochs": 2}, dataset="cifar100"),  # what the profile has for the first
        Row(method="ft", label="again"),  # the same data set of the paper under another name
        Row(method="muda"),
    ]
    placed = place_rows(bench.benchmarks, entry, [(row, selection) for row in rows])
    shown = [(row.method, row.label, selection.overrides(row)) for row, _ in placed]
    assert shown == [
        ("ft", None, {"epochs": 2}),
        ("ft", None, {"epochs": 3}),
        ("ft", "again", {"epochs": 2}),
        ("muda", None, {}),
    ]
    assert [paper.dataset for paper in placed[0][0].papers] == ["cifar10", "cifar100"]


def test_against_the_paper_names_both_data_sets_and_takes_no_difference(bench: Bench) -> None:
    table = bench.table("1")
    assert all(cell.published is None for row in table.rows for cell in row.cells)
    lines = [line.split("  ") for line in against_paper(table, "text").splitlines() if line.startswith(("Ori", "Ret"))]
    assert [[word.strip() for word in line if word.strip()] for line in lines] == [
        ["Original, Digits", "Digits / CIFAR-10", "0.50 / 0.34", "98.0 / –"],
        ["Original, Digits", "Digits / CIFAR-100", "0.50 / 0.50", "98.0 / 75.0"],
        ["Retrained, Digits", "Digits / CIFAR-10", "0.90 / 0.79", "60.0 / –"],
        ["Retrained, Digits", "Digits / CIFAR-100", "0.90 / 0.74", "60.0 / –"],
    ]
    assert "no difference is shown" in against_paper(table, "markdown")
    real = on(bench, "cifar10")
    record(real)
    text = against_paper(real.table("1"), "text")
    assert "0.50 / 0.34 (+0.16)" in text
    assert "Data set" not in text


def test_a_claim_is_not_held_by_another_data_set(bench: Bench) -> None:
    """Of the claims on digits those with one test of the same runs are one; table 5 has other runs, here none."""
    found = command("claims", "--json")
    assert found.returncode == 0, found.stderr
    assert [(line["claim"], line["verdict"], line["measured on"]) for line in json.loads(found.stdout)] == [
        ("DA rises: CIFAR-10, CIFAR-100", "on a stand-in: holds", "Digits, in place of CIFAR-10, CIFAR-100"),
        (
            "MUDA is nearest on CIFAR-10; So it is on CIFAR-100",
            "on a stand-in: holds",
            "Digits, in place of CIFAR-10, CIFAR-100",
        ),
        ("And on cifar20", "not measured", "digit_pairs"),
        ("FT is far", "held", "Digits"),
        ("FT is farther", "on a stand-in: does not hold", "Digits, in place of CIFAR-10"),
    ]
    told = command("claims").stdout
    assert "1 held, 0 not held, 2 hold on a stand-in, 1 do not hold on a stand-in, 1 not measured." in told
    assert "7 claims are 5 findings: the same test of the same values is counted once." in told


def test_a_claim_is_held_by_its_own_data_set(bench: Bench) -> None:
    real = on(bench, "cifar10")
    record(real)
    verdicts = {
        (claim.says, dataset): finding.judged.verdict for finding in findings(real) for claim, dataset in finding.claims
    }
    assert verdicts["DA rises: {dataset}", "cifar10"] == "held"
    assert verdicts["DA rises: {dataset}", "cifar100"] == "on a stand-in: holds"
    assert verdicts["FT is farther", "cifar10"] == "not held"


def test_equal_values_of_other_runs_are_another_finding(bench: Bench) -> None:
    """Numbers alone do not make two claims one: here the pairs have the very values of the digits."""
    record(Bench.choose(bench.benchmarks, bench.store, Choice(dataset="digit_pairs")), ("1",))
    by_words = {claim.says: finding for finding in findings(bench) for claim, _ in finding.claims}
    pairs, digits = by_words["And on {dataset}"].judged, by_words["So it is on {dataset}"].judged
    assert pairs.verdict == digits.verdict == "on a stand-in: holds"
    assert pairs.figures == digits.figures
    assert pairs.readings != digits.readings


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            ("about: [cifar10, cifar100]", "about: [cifar1000]"),
            "'DA rises: {dataset}' is about the data set 'cifar1000', and table 1 has cifar10, cifar100. Did you mean",
        ),
        (("about: [cifar10, cifar100], ", ""), "a claim with {dataset} needs the key `about`"),
    ],
)
def test_a_claim_about_what_its_table_lacks_is_refused(
    bench: Bench, home: Path, change: tuple[str, str], sentence: str
) -> None:
    assert change[0] in WRITTEN
    (home / "benchmarks.yaml").write_text(WRITTEN.replace(*change), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        findings(Bench.choose(load(), bench.store))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_data_sets_have_one_name_in_the_file_and_in_the_code() -> None:
    benchmarks = load(SHIPPED)
    for name in benchmarks.datasets:
        if name != "folder":  # which is called by its own name
            assert benchmarks.label_of(name) == datasets.get(name).label


def test_the_shipped_tables_name_what_each_profile_measures(tmp_path: Path) -> None:
    benchmarks = load(SHIPPED)
    for profile in benchmarks.profiles:
        bench = Bench.choose(benchmarks, Store(f"sqlite:///{tmp_path / profile}.sqlite"), Choice(profile=profile))
        for entry in (*benchmarks.tables.values(), *benchmarks.figures.values()):
            placed = bench.placed(entry)
            measured = {selection.dataset_label for _, selection in placed}
            shown = [title_of(entry, placed), *(row.label or "" for row, _ in placed)]
            named = {name for name in PAPERS for text in shown if re.search(rf"\b{name}\b", text)}
            assert named <= measured
            assert "{dataset}" not in "".join(shown)
            equal = [(row.method, str(selection.overrides(row)), selection.experiment.key) for row, selection in placed]
            assert len(equal) == len(set(equal))
    demo = Bench.choose(benchmarks, bench.store, Choice(profile="demo"))
    assert [len(demo.placed(benchmarks.table(name))) for name in ("1", "2", "B")] == [4, 3, 11]
