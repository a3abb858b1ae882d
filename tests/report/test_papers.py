"""Tables for papers: LaTeX that compiles, Markdown and CSV that give the same numbers back."""

import csv
import io
import json
import math
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support.page import HOSTILE, fill

from unlearn_bench.config.benchmarks import load
from unlearn_bench.config.selection import Choice, title_of
from unlearn_bench.metrics import metrics
from unlearn_bench.report.bench import Bench
from unlearn_bench.report.render import to_csv, to_json, to_latex, to_markdown
from unlearn_bench.report.tables import Cell, Table, TableRow
from unlearn_bench.store import Store
from unlearn_bench.store.records import MetricRecord

REPOSITORY = Path(__file__).parents[2]
PREAMBLE = r"\documentclass{article}\usepackage{booktabs}\begin{document}"
with_latex = pytest.mark.skipif(
    shutil.which("pdflatex") is None or shutil.which("pdftotext") is None, reason="no pdflatex and pdftotext installed"
)


def compiled(latex: str, folder: Path) -> str:
    """Returns the text of the PDF that pdflatex makes of a table in an article that loads booktabs alone."""
    (folder / "table.tex").write_text(f"{PREAMBLE}\n{latex}\n\\end{{document}}\n", encoding="utf-8")
    made = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "table.tex"],
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=120,
    )
    assert made.returncode == 0, made.stdout[-2000:]
    shown = subprocess.run(
        ["pdftotext", "-layout", "table.pdf", "-"], cwd=folder, capture_output=True, text=True, check=True
    )
    return shown.stdout


@with_latex
def test_latex_compiles_with_booktabs_alone_and_shows_every_number(bench: Bench, tmp_path: Path) -> None:
    fill(bench)
    table = bench.table("3")
    text = compiled(to_latex(table), tmp_path)
    for row in table.rows:
        assert row.label in text
        for cell, decimals in zip(row.cells, (2, 1), strict=True):
            assert f"{cell.mean:.{decimals}f}" in text
    assert "(0.02)" in text
    assert "Table 1" in text  # LaTeX's own number of a caption


@with_latex
@pytest.mark.parametrize(
    ("word", "shown"),
    [
        (HOSTILE[:60], "<script>window.hacked=1</script>"),
        (r"\immediate\write18{touch ran} % comment", "\\immediate\\write18{touchran}%comment"),
        (r"\input{x} $x_1^2$ & # ~ {open \begin{x}", "\\input{x}$x1^2$&#~{open\\begin{x}"),
        ("∪ ′ … é λ 猫", "λ⟨U+732B⟩"),
    ],
)
def test_hostile_words_compile_as_words(word: str, shown: str, bench: Bench, tmp_path: Path) -> None:
    """Neither a command nor a comment: what is written is what is read."""
    fill(bench, label=word)
    text = compiled(to_latex(bench.table("3")), tmp_path)
    assert not (tmp_path / "ran").exists()
    assert shown in re.sub(r"\s+", "", text).replace("˜", "~").replace("ˆ", "^")


def test_csv_gives_the_same_numbers_back(bench: Bench) -> None:
    fill(bench)
    table = bench.table("3")
    read = list(csv.DictReader(io.StringIO(to_csv(table))))
    found = {(row["method"], row["metric"]): row for row in read}
    for row in table.rows:
        for column, cell in zip(table.columns, row.cells, strict=True):
            same = found[row.method, column.name]
            assert float(same["mean"]) == cell.mean
            assert float(same["std"]) == cell.std
            assert (float(same["gap"]) if same["gap"] else None) == cell.gap
            assert int(same["n"]) == cell.n
    assert [{**row, "best": str(row["best"]), "tied": str(row["tied"])} for row in json.loads(to_json(table))] == [
        {
            **row,
            **{name: float(row[name]) if row[name] else None for name in ("mean", "std", "gap")},
            "n": int(row["n"]),
        }
        for row in read
    ]


def test_markdown_gives_the_same_numbers_back_to_its_digits(bench: Bench) -> None:
    fill(bench)
    table = bench.table("3")
    lines = [line for line in to_markdown(table).splitlines() if line.startswith("|")]
    read = [[cell.strip().replace("**", "").replace("\\", "") for cell in line.strip("|").split("|")] for line in lines]
    assert read[0] == ["Method", "Train set", *(column.heading for column in table.columns)]
    for row, cells in zip(table.rows, read[2:], strict=True):
        assert cells[0] == row.label
        for cell, text, decimals in zip(row.cells, cells[2:], (2, 1), strict=True):
            numbers = re.fullmatch(r"([\d.]+)±([\d.]+)(?: \(([\d.]+)\))?( =)?", text)
            assert numbers is not None, text
            for shown, value in zip(numbers.groups()[:3], (cell.mean, cell.std, cell.gap), strict=True):
                if shown is not None:
                    assert value is not None
                    assert math.isclose(float(shown), value, abs_tol=0.5 * 10**-decimals + 1e-9)


@with_latex
def test_every_table_of_the_benchmark_can_be_set(tmp_path: Path) -> None:
    """Rows of every table of benchmarks.yaml, whose labels and headings are the ones that papers will show."""
    benchmarks = load(REPOSITORY / "benchmarks.yaml")
    bench = Bench.choose(benchmarks, Store(f"sqlite:///{tmp_path / 'none.sqlite'}"), Choice(profile="paper"))
    parts = []
    for name, entry in benchmarks.tables.items():
        columns = tuple(
            MetricRecord(each, metrics.get(each).label, metrics.get(each).unit, "", "") for each in entry.metrics
        )
        cells = tuple(Cell(12.34, 5.6, 5, 7.8, best=k == 0) for k in range(len(columns)))
        placed = bench.placed(entry)
        rows = [TableRow(row.method, row.label or row.method, "D'_r ∪ D_f", False, cells, 5) for row, _ in placed]
        parts.append(to_latex(Table(name, title_of(entry, placed), columns, tuple(rows), ("a note",))))
    text = compiled("\n".join(parts), tmp_path)
    for entry in benchmarks.tables.values():
        assert re.sub(r"\s+", "", benchmarks.papers_title(entry)) in re.sub(r"\s+", "", text).replace("’", "'")
