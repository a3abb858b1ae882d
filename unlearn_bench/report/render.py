"""Renders a table as text, Markdown, LaTeX, CSV or JSON. Numbers are rounded only here."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tabulate import tabulate

from unlearn_bench.core.errors import OptionError, unknown_name
from unlearn_bench.core.files import atomic_write
from unlearn_bench.core.plain_text import inert
from unlearn_bench.report.tables import Cell, Table, TableRow
from unlearn_bench.store.records import MetricRecord

LEGEND = (
    "Mean ± standard deviation over configurations; in parentheses the gap, the absolute difference from Retrained. "
    "The smallest gap is {how}; =: not significantly larger (paired t-test, 5 %, corrected for choosing the smallest). "
    "No mark in a column: no gap is significantly larger than the smallest. k/n: only k of n configurations are done."
)
Bold = Callable[[str], str]


def to_text(table: Table, *, color: bool = False) -> str:
    """Returns the table for a terminal. ``*`` marks the smallest gap; with ``color``, it is also bold."""
    bold: Bold = (lambda text: f"\x1b[1m{text}*\x1b[0m") if color else (lambda text: f"{text}*")
    body = tabulate(_body(table, bold), _header(table), tablefmt="simple", disable_numparse=True)
    notes = map(one_line, table.notes)
    return "\n".join([one_line(_title(table)), "", body, "", LEGEND.format(how="marked by *"), *notes])


def to_markdown(table: Table) -> str:
    """Returns the table as GitHub Markdown, with the smallest gap in bold."""
    escape = _markdown
    cells = [[escape(cell) for cell in row[:2]] + row[2:] for row in _body(table, lambda text: f"**{text}**")]
    body = tabulate(cells, [escape(cell) for cell in _header(table)], tablefmt="github", disable_numparse=True)
    notes = "\n".join(f"- {escape(note)}" for note in (LEGEND.format(how="in bold"), *table.notes))
    return f"### {escape(_title(table))}\n\n{body}\n\n{notes}"


def to_latex(table: Table) -> str:
    """Returns a LaTeX table for the booktabs package, with the smallest gap in bold and the notes as comments."""
    lines = [f"% {one_line(note)}" for note in table.notes]  # a line break would end the comment
    lines += [r"\begin{table}", r"\centering\small\setlength{\tabcolsep}{4pt}"]
    lines += [rf"\caption{{{_latex(table.title)}}}"]  # the article numbers its tables
    lines += [rf"\begin{{tabular}}{{ll{'r' * len(table.columns)}}}", r"\toprule"]
    lines += [" & ".join(_latex(cell) for cell in _header(table)) + r" \\", r"\midrule"]
    for row in _body(table, lambda text: rf"\textbf{{{text}}}"):
        lines.append(
            " & ".join(
                [
                    *(_latex(cell) for cell in row[:2]),
                    *(cell.replace("–", "--").replace("±", r"$\pm$") for cell in row[2:]),
                ]
            )
            + r" \\"
        )
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines)


def to_csv(table: Table) -> str:
    """Returns the long form as CSV, one row per method and metric, with numbers at full precision.

    Text that a spreadsheet would execute as a formula gets a leading apostrophe.
    """
    records = to_records(table)
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: inert(value) for name, value in record.items()} for record in records)
    return out.getvalue().rstrip("\n")


def to_json(table: Table) -> str:
    """Returns the long form as a JSON list, with numbers at full precision."""
    return json.dumps(to_records(table), indent=2, ensure_ascii=False, allow_nan=False)


def to_records(table: Table) -> list[dict[str, Any]]:
    """Returns a table in long form, as in CSV and JSON: one record per row and metric.

    Returns:
        Records with these fields: ``method`` and ``metric``, names; ``mean`` and ``std``, mean and sample standard
        deviation over the done configurations, in the unit of the metric, None if there are too few; ``n``, number of
        done configurations; ``gap``, absolute difference of the mean from the retrained model's over the same
        configurations, None for the retrained model; ``best``, whether the gap is the smallest of its column and
        another gap is significantly larger; ``tied``, whether the gap is not the smallest and not significantly larger;
        ``label`` of the row; ``dataset``, label of the measured data set.
    """
    return [
        {
            "method": row.method,
            "metric": column.name,
            "mean": cell.mean,
            "std": cell.std,
            "n": cell.n,
            "gap": cell.gap,
            "best": cell.best,
            "tied": cell.tied,
            "label": row.label,
            "dataset": row.dataset,
        }
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
    ]


AGAINST = "Our value / the paper's value (difference); – if the paper prints no value or nothing was measured."
OTHER_DATA = (
    "If our data set is not the paper's, no difference is shown: between data sets, you can compare only the order of "
    "methods."
)


def against_paper(table: Table, format: str) -> str:
    """Returns a table of our values beside the published ones, as ``text`` or ``markdown``.

    If a data set replaces others of the paper, the table has a line for each of these. The line names both data sets
    and shows no difference.

    Raises:
        OptionError: another format, or benchmarks.yaml has no published values for the table.
    """
    elsewhere = any(paper.published for row in table.rows for paper in row.elsewhere)
    if not elsewhere and all(cell.published is None for row in table.rows for cell in row.cells):
        raise OptionError(f"benchmarks.yaml has no published numbers for table {table.name}. Choose another table.")
    body = []
    for row in table.rows:
        pairs = list(zip(table.columns, row.cells, strict=True))
        for paper in row.elsewhere:
            values = [_beside(replace(cell, published=paper.published.get(c.name)), c, False) for c, cell in pairs]
            body.append([row.label, f"{row.dataset} / {paper.dataset_label}", *values])
        if not row.elsewhere:
            values = [_beside(cell, column) for column, cell in pairs]
            body.append([row.label, *([row.dataset] if elsewhere else []), *values])
    header = ["Method", *(["Data set, ours / the paper's"] if elsewhere else [])]
    header += [column.heading for column in table.columns]
    notes = [
        AGAINST,
        *([OTHER_DATA] if elsewhere else []),
        *([f"Note on the paper: {table.published_note}"] if table.published_note else []),
        *table.notes,
    ]
    return with_notes(header, body, notes, format, title=f"{_title(table)}, against the paper")


def with_notes(
    header: Sequence[str], body: Sequence[Sequence[str]], notes: Sequence[str], format: str, *, title: str = ""
) -> str:
    """Returns a table of text cells with notes below it, as ``text`` or ``markdown``.

    Raises:
        OptionError: another format.
    """
    kinds = {"text": "simple", "markdown": "github"}
    if format not in kinds:
        raise OptionError(
            f"--format is '{format}', expected text or markdown for this report. Give --format "
            "markdown, or an --output that ends in .txt or .md."
        )
    if format == "markdown":
        cells = [[_markdown(cell) for cell in row] for row in body]
        text = tabulate(cells, [_markdown(cell) for cell in header], tablefmt="github", disable_numparse=True)
        head = [f"### {_markdown(title)}", ""] if title else []
        return "\n".join([*head, text, "", *(f"- {_markdown(note)}" for note in notes)])
    plain = [[one_line(cell) for cell in row] for row in body]
    text = tabulate(plain, [one_line(cell) for cell in header], tablefmt="simple", disable_numparse=True)
    return "\n".join([*([one_line(title), ""] if title else []), text, "", *map(one_line, notes)])


def _beside(cell: Cell, column: MetricRecord, with_difference: bool = True) -> str:
    decimals = 1 if column.unit == "%" else 2
    ours, paper = (f"{value:.{decimals}f}" if value is not None else "–" for value in (cell.mean, cell.published))
    if cell.mean is None or cell.published is None or not with_difference:
        return f"{ours} / {paper}"
    return f"{ours} / {paper} ({cell.mean - cell.published:+.{decimals}f})"


SETS = re.compile(r"(?<!\w)(D'?_[fr])(?!\w)")  # D_f, D_r, D'_r are set as mathematics, as in the paper

FORMATS: dict[str, Callable[[Table], str]] = {
    "text": to_text,
    "markdown": to_markdown,
    "latex": to_latex,
    "csv": to_csv,
    "json": to_json,
}


ENDINGS = {".txt": "text", ".md": "markdown", ".tex": "latex", ".csv": "csv", ".json": "json"}


def format_of(format: str | None, file: Path | None) -> str:
    """Returns the format of a report: the one that is named, else that of the file's ending, else ``text``.

    Raises:
        UnknownNameError: there is no such format.
        OptionError: the file's ending names another format, or, without a named format, none.
    """
    if format is not None and format not in FORMATS:
        raise unknown_name("format", format, FORMATS)
    ending = file.suffix.lower() if file else ""
    implied = ENDINGS.get(ending)
    if ending in (".html", ".htm") or (format is None and ending and implied is None):
        known = ", ".join(ENDINGS)
        raise OptionError(f"--output {file} ends in none of {known}. Choose one of them, or write a page with --html.")
    if format is not None and implied not in (None, "text", format):
        raise OptionError(f"--output {file} ends as {implied} does, and --format is {format}. Leave one of them out.")
    return format or implied or "text"


def write_file(text: str, file: Path, *, append: bool = False) -> None:
    """Writes a rendered report to a file atomically, or appends it. Creates a missing folder.

    Raises:
        OptionError, FileError: the file cannot be written.
    """
    if not append and (file.is_file() or not file.exists()):  # a device or a pipe cannot be replaced
        with atomic_write(file) as part:
            part.write_text(f"{text}\n", encoding="utf-8")
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a" if append else "w", encoding="utf-8") as stream:
            stream.write(f"{text}\n")
    except OSError as problem:
        raise OptionError(f"{file} cannot be written: {problem.strerror}. Choose another file.") from None


def _title(table: Table) -> str:
    return f"Table {table.name}. {table.title}"


def _header(table: Table) -> list[str]:
    return ["Method", "Train set", *(one_line(column.heading) for column in table.columns)]


def _body(table: Table, bold: Bold) -> list[list[str]]:
    return [
        [
            one_line(row.label),
            row.train_set,
            *(cell_text(cell, column, row, bold) for column, cell in zip(table.columns, row.cells, strict=True)),
        ]
        for row in table.rows
    ]


def cell_text(cell: Cell, column: MetricRecord, row: TableRow, bold: Bold = str) -> str:
    """Returns rounded mean ± standard deviation (gap); applies ``bold`` to a cell with the smallest gap."""
    decimals = 1 if column.unit == "%" else 2
    incomplete = f" {cell.n}/{row.expected}" if cell.n < row.expected else ""
    if cell.mean is None:
        return f"–{incomplete}"
    text = f"{cell.mean:.{decimals}f}" + (f"±{cell.std:.{decimals}f}" if cell.std is not None else "")
    if cell.gap is not None and not row.is_reference:
        text += f" ({cell.gap:.{decimals}f}){' =' if cell.tied else ''}"
    text += " °" if cell.is_guess else ""
    return (bold(text) if cell.best else text) + incomplete


def one_line(text: str) -> str:
    """Returns a text with spaces in place of line breaks and control characters, which a terminal could execute."""
    return "".join(character if character.isprintable() else " " for character in text)


def _latex(text: str) -> str:
    from pylatexenc.latexencode import UnicodeToLatexEncoder  # few reports need it

    # replace letters that LaTeX's standard fonts lack by their code points, so that the document compiles
    encoder = UnicodeToLatexEncoder(unknown_char_policy="unihex", unknown_char_warning=False)
    parts = SETS.split(one_line(text))
    return "".join(f"${part}$" if SETS.fullmatch(part) else str(encoder.unicode_to_latex(part)) for part in parts)


def _markdown(text: str) -> str:
    escaped = one_line(text).replace("&", "&amp;")
    return "".join(f"\\{character}" if character in "\\|*_`<>[]#~$!" else character for character in escaped)
