"""Tables from hand-written runs: what readers see, as whole texts."""

import csv
import io
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete
from support.benchmark import new_run

from unlearn_bench.config.selection import Choice
from unlearn_bench.core.errors import MissingRunError, OptionError
from unlearn_bench.report.bench import Bench
from unlearn_bench.report.render import to_csv, to_json, to_latex, to_markdown, to_text, write_file
from unlearn_bench.report.tables import Table
from unlearn_bench.store.tables import RunRow

VALUES = {
    "original": [(0.3, 90.0), (0.5, 94.0)],
    "retrained": [(0.8, 60.0), (0.9, 70.0)],
    "ft": [(0.5, 79.0), (0.6, 89.0)],
    "muda": [(0.75, 63.0), (0.85, 73.0)],
}


def record(bench: Bench, method: str, forget: str, *details: Any, **more: Any) -> None:
    bench.store.record(new_run(bench, method, forget, *details, **more))


OPTIONS = {"muda": {"iterations": 12}, "ft": {"epochs": 2}}


@pytest.fixture
def filled(bench: Bench) -> Bench:
    for method, pairs in VALUES.items():
        for forget, values in zip(("1", "3"), pairs, strict=True):
            own = OPTIONS.get(method, {})
            record(bench, method, forget, values, options=own)
    return bench


def without_date(text: str) -> str:
    return text.replace(f"{datetime.now(timezone.utc):%Y-%m-%d}", "TODAY")


def test_text_is_the_papers_style(filled: Bench) -> None:
    assert without_date(to_text(filled.table("3"))) == (
        """\
Table 3. Small: digits, profile tiny

Method     Train set    DA                 LP(D_f) %
---------  -----------  -----------------  ---------------
Original   D            0.40±0.14          92.0±2.8
Retrained  D_r          0.85±0.07          65.0±7.1
FT         D'_r         0.55±0.07 (0.30)   84.0±7.1 (19.0)
MUDA       D'_r ∪ D_f   0.80±0.07 (0.05)*  68.0±7.1 (3.0)*

Mean ± standard deviation over configurations; in parentheses the gap, the absolute difference from Retrained. """
        """The smallest gap is marked by *; =: not significantly larger (paired t-test, 5 %, corrected for choosing """
        """the smallest). No mark in a column: no gap is significantly larger than the smallest. """
        """k/n: only k of n configurations are done.
Images: digits (content iiiiiiiiiiii), 24 training images per class; scenario class; forget sets 1, 3; seeds 0.
Model: resnet18 (width 4, groups 2), float32; recipe: epochs 3, batch_size 16, lr 0.1, decay 0.998, weight_decay 0.001.
Measured by unlearn-bench 0 with torch 1, scikit-learn 2, python 3; cpu on a machine; TODAY.
Only one seed: the marks apply to these models only; other reference models can give another order."""
    )


def test_markdown_and_latex_mark_the_smallest_gap(filled: Bench) -> None:
    markdown = to_markdown(filled.table("3"))
    assert "| MUDA      | D'\\_r ∪ D\\_f | **0.80±0.07 (0.05)** | **68.0±7.1 (3.0)** |" in markdown
    latex = to_latex(filled.table("3"))
    assert (
        r"MUDA & $D'_r$ \ensuremath{\cup} $D_f$ & \textbf{0.80$\pm$0.07 (0.05)} & \textbf{68.0$\pm$7.1 (3.0)} \\"
        in latex
    )
    assert r"LP($D_f$) \% \\" in latex


def test_a_gap_that_chance_could_have_made_the_smallest_is_not_marked(filled: Bench) -> None:
    """FT's gap is |(0.75 + 1.0) / 2 − (0.8 + 0.9) / 2| = 0.025: on other forget sets MUDA's 0.05 may be the smaller."""
    record(filled, "ft", "1", (0.75, 80.0), options=OPTIONS["ft"])
    record(filled, "ft", "3", (1.0, 88.0), options=OPTIONS["ft"])
    table = filled.table("3")
    assert "0.88±0.18 (0.02) " in row_of(table, "FT"), "no mark where nothing can be told apart"
    assert "0.80±0.07 (0.05) " in row_of(table, "MUDA")
    assert "68.0±7.1 (3.0)*" in row_of(table, "MUDA")
    alone = Bench.choose(filled.benchmarks, filled.store, Choice(forget=("1",))).table("3")
    assert "=" not in to_text(alone).split("Mean")[0], "nothing can be told apart with one configuration: no mark"


def test_long_formats_hold_full_precision(filled: Bench) -> None:
    table = filled.table("3")
    found = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert list(found[0])[:7] == ["method", "metric", "mean", "std", "n", "gap", "best"]
    assert len(found) == 8
    muda = next(row for row in json.loads(to_json(table)) if (row["method"], row["metric"]) == ("muda", "da"))
    assert muda["mean"] == pytest.approx(0.8)
    assert muda["std"] == pytest.approx(0.1 / 2**0.5)  # sample deviation of 0.75 and 0.85
    assert muda["gap"] == pytest.approx(0.05)
    assert (muda["n"], muda["best"]) == (2, True)
    assert [float(row["mean"]) for row in found] == [row["mean"] for row in json.loads(to_json(table))]


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    write_file("text", tmp_path / "new" / "table.md")
    assert (tmp_path / "new" / "table.md").read_text() == "text\n"
    with pytest.raises(OptionError, match=r"new cannot be written: Is a directory\. Choose another file\."):
        write_file("text", tmp_path / "new")
    with pytest.raises(UnicodeEncodeError):
        write_file("\ud800", tmp_path / "new" / "table.md")
    assert (tmp_path / "new" / "table.md").read_text() == "text\n", "what was there stays until the new one is whole"
    (tmp_path / "link.md").symlink_to(tmp_path / "new" / "table.md")
    write_file("again", tmp_path / "link.md")
    assert (tmp_path / "new" / "table.md").read_text() == "again\n"
    write_file("line", tmp_path / "new" / "table.md", append=True)
    assert (tmp_path / "new" / "table.md").read_text() == "again\nline\n"
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["table.md"]


def row_of(table: Table, method: str) -> str:
    return next(line for line in to_text(table).splitlines() if line.startswith(method))


def test_a_diverged_run_enters_no_mean_and_never_wins(filled: Bench) -> None:
    own = OPTIONS["muda"]
    its_own = delete(RunRow).where(RunRow.method == "muda", RunRow.forget == "3")
    filled.store.write(lambda session: session.execute(its_own))
    record(filled, "muda", "3", (0, 0), "diverged", options=own)
    table = filled.table("3")
    # against the retrained model on the same configuration: |0.75 − 0.8| and |63 − 60|
    assert row_of(table, "MUDA").split()[-6:] == ["0.75", "(0.05)", "1/2", "63.0", "(3.0)", "1/2"]
    assert "*" in row_of(table, "FT")
    assert "MUDA" not in to_text(table).split("*")[0].splitlines()[-1]
    assert "muda, forget 3, seed 0: diverged, loss is nan after 7 steps." in to_text(table)


def test_missing_runs_are_told(filled: Bench) -> None:
    profile = filled.benchmarks.profiles["tiny"].model_copy(update={"options": {}})
    benchmarks = filled.benchmarks.model_copy(update={"profiles": {"tiny": profile}})
    table = Bench.choose(benchmarks, filled.store).table("3")
    assert row_of(table, "MUDA").split()[-4:] == ["–", "0/2", "–", "0/2"]
    assert "4 runs are missing" in to_text(table)


def test_runs_with_other_options_belong_to_other_rows(filled: Bench) -> None:
    record(filled, "muda", "1", (0.1, 1.0), options={"iterations": 12, "lr": 5})
    assert "0.80±0.07 (0.05)" in row_of(filled.table("3"), "MUDA")


def test_runs_on_other_images_are_not_mixed(filled: Bench) -> None:
    for forget in ("1", "3"):
        record(filled, "retrained", forget, (0.1, 1.0), images="j")
    table = filled.table("3")
    assert row_of(table, "Retrained").split()[-2:] == ["0.10±0.00", "1.0±0.0"]
    assert "0/2" in row_of(table, "MUDA")


def test_no_table_without_its_reference(bench: Bench) -> None:
    record(bench, "retrained", "1", (0.8, 60.0))
    with pytest.raises(MissingRunError) as caught:
        bench.table("3")
    assert str(caught.value) == (
        "No retrained run on digits, class 3, seed 0. Make it with: "
        "unlearn-bench train --profile tiny --dataset digits --scenario class --forget 3 --precision float32 --seed 0"
    )


def test_the_readmes_table_is_the_recorded_one() -> None:
    root = Path(__file__).parents[2]
    recorded = (root / "results" / "demo-table-A.md").read_text()
    table = "\n".join(line for line in recorded.splitlines() if line.startswith("|"))
    assert table.count("\n") > 5
    assert table in (root / "README.md").read_text()
