"""A table of cells as text, Markdown, LaTeX, CSV or JSON. The only place that rounds."""

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

from unlearn_bench.artefacts import durable
from unlearn_bench.errors import OptionError
from unlearn_bench.report.tables import Cell, Table, TableRow
from unlearn_bench.store.records import MetricRecord

LEGEND = (
    "Mean ± standard deviation over configurations; in parentheses the absolute difference from Retrained, the "
    "smallest {how}; =: not significantly larger (paired t-test, 5 %, corrected for choosing the smallest). No mark in "
    "a column: no gap is significantly larger than the smallest. k/n: only k of n configurations are done."
)
Bold = Callable[[str], str]


def to_text(table: Table, *, color: bool = False) -> str:
    """Returns the table for a terminal, the smallest gap marked by ``*`` and, with ``color``, in bold."""
    bold: Bold = (lambda text: f"\x1b[1m{text}*\x1b[0m") if color else (lambda text: f"{text}*")
    body = tabulate(_body(table, bold), _header(table), tablefmt="simple", disable_numparse=True)
    notes = map(one_line, table.notes)
    return "\n".join([one_line(_title(table)), "", body, "", LEGEND.format(how="marked by *"), *notes])


def to_markdown(table: Table) -> str:
    """Returns the table for GitHub, the smallest gap in bold."""
    escape = _markdown
    cells = [[escape(cell) for cell in row[:2]] + row[2:] for row in _body(table, lambda text: f"**{text}**")]
    body = tabulate(cells, [escape(cell) for cell in _header(table)], tablefmt="github", disable_numparse=True)
    notes = "\n".join(f"- {escape(note)}" for note in (LEGEND.format(how="in bold"), *table.notes))
    return f"### {escape(_title(table))}\n\n{body}\n\n{notes}"


def to_latex(table: Table) -> str:
    """Returns a LaTeX table for the booktabs package, the smallest gap in bold, provenance as comments."""
    lines = [f"% {one_line(note)}" for note in table.notes]  # a second line would be no comment any more
    lines += [r"\begin{table}", r"\centering\small\setlength{\tabcolsep}{4pt}"]
    lines += [rf"\caption{{{_latex(table.title)}}}"]  # the number of a table is the article's own
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
    """Returns the long form, one row per method and metric, numbers at full precision.

    A text that a spreadsheet would take for a formula has an apostrophe before it.
    """
    records = to_records(table)
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _inert(value) for name, value in record.items()} for record in records)
    return out.getvalue().rstrip("\n")


def to_json(table: Table) -> str:
    """Returns the long form as a JSON list, numbers at full precision."""
    return json.dumps(to_records(table), indent=2, ensure_ascii=False, allow_nan=False)


def to_records(table: Table) -> list[dict[str, Any]]:
    """Returns a table in its long form, what CSV and JSON hold: a record for each row and metric.

    Returns:
        Records of ``method`` (name), ``metric`` (name), ``mean`` over the configurations that are done and ``std``,
        their sample standard deviation, both in the metric's unit and null where there are too few; ``n``, how many are
        done; ``gap``, the absolute difference of the mean from the retrained model's over the same configurations, null
        for that model itself; ``best``, whether the gap is the smallest of its column and another is significantly
        larger, and ``tied``, whether it is not significantly larger than that; ``label`` of the row; ``dataset``, the
        measured one as people write it.
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


AGAINST = "Ours, the paper's value, and the difference; – where the paper prints none or nothing was measured."
OTHER_DATA = (
    "Where the paper's data set is not ours, no difference is shown: values on two data sets may be compared in their "
    "order alone."
)


def against_paper(table: Table, format: str) -> str:
    """Returns a table of our values beside the published ones, ``text`` or ``markdown``.

    Where a data set stands in for others of the paper, there is a line for each of these, which names both and gives no
    difference.

    Raises:
        OptionError: another format, or a table of which nothing is published.
    """
    elsewhere = any(paper.published for row in table.rows for paper in row.elsewhere)
    if not elsewhere and all(cell.published is None for row in table.rows for cell in row.cells):
        raise OptionError(f"benchmarks.yaml holds no published numbers of table {table.name}.")
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
        *([f"On the paper: {table.published_note}"] if table.published_note else []),
        *table.notes,
    ]
    return with_notes(header, body, notes, format, title=f"{_title(table)}, against the paper")


def with_notes(
    header: Sequence[str], body: Sequence[Sequence[str]], notes: Sequence[str], format: str, *, title: str = ""
) -> str:
    """Returns a table of words with notes below it, ``text`` or ``markdown``.

    Raises:
        OptionError: another format.
    """
    kinds = {"text": "simple", "markdown": "github"}
    if format not in kinds:
        raise OptionError(f"This report comes as text or markdown, and --format is '{format}'. Choose one of them.")
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


SETS = re.compile(r"(?<!\w)(D'?_[fr])(?!\w)")  # D_f, D_r, D'_r, which the paper prints as mathematics

FORMATS: dict[str, Callable[[Table], str]] = {
    "text": to_text,
    "markdown": to_markdown,
    "latex": to_latex,
    "csv": to_csv,
    "json": to_json,
}


def write_file(text: str, file: Path, *, append: bool = False) -> None:
    """Writes a rendered report to a file, whole or not at all, or to its end; a missing folder is made.

    Raises:
        OptionError, FileError: the file cannot be written.
    """
    if not append and (file.is_file() or not file.exists()):  # a device or a pipe cannot be replaced
        with durable(file) as part:
            part.write_text(f"{text}\n", encoding="utf-8")
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a" if append else "w", encoding="utf-8") as stream:
            stream.write(f"{text}\n")
    except OSError as problem:
        raise OptionError(f"{file} cannot be written: {problem.strerror}. Name another file.") from None


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
    """Returns mean ± standard deviation (gap), rounded, the smallest gap within ``bold``."""
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
    """Returns a text without line breaks and control characters, which a terminal or a file format might obey."""
    return "".join(character if character.isprintable() else " " for character in text)


def _latex(text: str) -> str:
    from pylatexenc.latexencode import UnicodeToLatexEncoder  # which few reports need

    # letters that LaTeX's standard fonts lack are shown by their numbers, rather than ending the compilation
    encoder = UnicodeToLatexEncoder(unknown_char_policy="unihex", unknown_char_warning=False)
    parts = SETS.split(one_line(text))
    return "".join(f"${part}$" if SETS.fullmatch(part) else str(encoder.unicode_to_latex(part)) for part in parts)


def _markdown(text: str) -> str:
    escaped = one_line(text).replace("&", "&amp;")
    return "".join(f"\\{character}" if character in "\\|*_`<>[]#~$!" else character for character in escaped)


def _inert(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
