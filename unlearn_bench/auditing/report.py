"""Writes an audit as text, as JSON with a documented schema, and as HTML."""

from __future__ import annotations

import dataclasses
import json
import statistics
from pathlib import Path
from typing import Any

from tabulate import tabulate

from unlearn_bench.auditing.results import Audit, Input
from unlearn_bench.report.page import own_file, render_page
from unlearn_bench.report.page.content import TextTable
from unlearn_bench.report.render import one_line

EVIDENCE = (
    "This is evidence, not a proof of deletion: metrics can show that something remains, but never that nothing does. "
    "It applies only to these files, these images and this forget set, and to no other copy of the model."
)
HEADER = ["metric", "reads", "original", "unlearned", "retrained", "gap", "range of retrained"]
GAP = (
    "gap: difference from the mean of the retrained models; range of retrained: largest difference between two of them."
)


def facts_of(audit: Audit) -> list[tuple[str, str]]:
    """Returns what was audited, as pairs of a name and a description."""
    return [
        *((file.role, _described(file)) for file in audit.inputs),
        ("weights", audit.changed),
        ("architecture", audit.architecture),
        ("features", audit.features),
        ("images", audit.images),
        ("preprocessing", audit.preprocessing),
        ("forget set", audit.forget),
        ("made with", audit.made_with),
    ]


def lines_of(audit: Audit) -> list[list[str]]:
    """Returns a line for each metric, with the columns of :data:`HEADER`."""
    lines = []
    for metric in audit.measured:
        retrained = statistics.fmean(metric.retrained) if metric.retrained else None
        numbers = (metric.original, metric.unlearned, retrained, metric.gap, metric.retrained_range)
        shown = [_number(value, metric.unit) for value in numbers]
        lines.append([f"{metric.label} {metric.unit}".strip(), metric.reads, *shown])
    return lines


def meanings_of(audit: Audit) -> list[list[str]]:
    """Returns what each metric can show, what it cannot show, and what it shows without a retrained model."""
    has_reference = any(metric.retrained for metric in audit.measured)
    return [
        [metric.label, metric.shows, metric.hides, *([] if has_reference else [metric.without_reference])]
        for metric in audit.measured
    ]


def meanings_header(audit: Audit) -> list[str]:
    """Returns the column names of :func:`meanings_of`."""
    has_reference = any(metric.retrained for metric in audit.measured)
    return ["metric", "can show", "cannot show", *([] if has_reference else ["without a retrained model"])]


def to_text(audit: Audit) -> str:
    """Returns the audit for a terminal: what an audit is, the verdict, and everything that it is based on."""
    table = tabulate(lines_of(audit), HEADER, tablefmt="simple", disable_numparse=True)
    meanings = [
        f"{name}: can show {shows[:1].lower()}{shows[1:]} Cannot show {hides[:1].lower()}{hides[1:]}"
        + "".join(f" Without a retrained model: {bound[:1].lower()}{bound[1:]}" for bound in without_reference)
        for name, shows, hides, *without_reference in meanings_of(audit)
        if shows
    ]
    facts = tabulate(
        [[name, one_line(words)] for name, words in facts_of(audit)], tablefmt="plain", disable_numparse=True
    )
    parts = [
        EVIDENCE,
        "",
        f"Verdict: {audit.judgement.words}",
        *(f"- {one_line(sentence)}" for sentence in audit.judgement.evidence),
        "",
        table,
        "",
        *meanings,
        "",
        facts,
        "",
        f"Repeat it with: {one_line(audit.command)}",
    ]
    return "\n".join(parts)


def to_notebook(audit: Audit) -> str:
    """Returns the verdict and the table as HTML, for notebooks."""
    from html import escape

    verdict = escape(one_line(audit.judgement.words))
    return f"<p>{escape(EVIDENCE)}</p><p><strong>{verdict}</strong></p>" + tabulate(
        lines_of(audit), HEADER, tablefmt="html", disable_numparse=True
    )


def to_html(audit: Audit) -> str:
    """Returns an audit as a self-contained HTML document."""
    tables = [
        TextTable("Values", HEADER, lines_of(audit), [GAP]),
        TextTable("What each metric can and cannot show", meanings_header(audit), meanings_of(audit), []),
    ]
    title = f"Unlearning audit: {audit.forget.split(':')[0]}"
    return render_page(
        Path(__file__).parent / "audit.html",
        [own_file("script.js")],
        audit=audit,
        tables=tables,
        facts=facts_of(audit),
        title=title,
        evidence=EVIDENCE,
    )


def to_json(audit: Audit) -> str:
    """Returns the audit as JSON.

    The object has the fields of :class:`Audit`: ``inputs`` (role, file, sha256, key, remarks), ``measured`` (name,
    label, unit, reads, about, shows, hides, without_reference, original, unlearned, retrained as a list, gap and
    retrained_range or null) and ``judgement`` (verdict, words, evidence, p_value or null); the other fields are text.
    In addition it has ``evidence_not_proof``, the sentence with which every audit begins.
    """
    content: dict[str, Any] = {"evidence_not_proof": EVIDENCE, **dataclasses.asdict(audit)}
    for metric, record in zip(audit.measured, content["measured"], strict=True):
        record.update(gap=metric.gap, retrained_range=metric.retrained_range)
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)


def _described(file: Input) -> str:
    """Returns what was read, such as ``state_dict of model.pth, SHA-256 …; ignored: criterion.weight``."""
    source = f"{file.key} of {file.file}" if file.key else file.file
    return "; ".join((f"{source}, SHA-256 {file.sha256}", *file.remarks))


def _number(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:.{1 if unit == '%' else 3}f}"
