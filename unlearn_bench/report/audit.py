"""An audit as people and programs read it: text, JSON with a documented schema, HTML."""

from __future__ import annotations

import dataclasses
import json
import statistics
from dataclasses import dataclass
from typing import Any, Literal

from tabulate import tabulate

from unlearn_bench.report.render import one_line

Verdict = Literal["unchanged", "only the outputs", "distinguishable", "indistinguishable", "cannot tell"]

EVIDENCE = (
    "This is evidence and no proof of deletion: metrics can show that something is left, and never that nothing is. It "
    "holds for these files, these images and this forget set, and for no other copy of the model."
)
HEADER = ["metric", "reads", "original", "unlearned", "retrained", "gap", "floor"]


@dataclass(frozen=True)
class Input:
    """A file that was audited: its role (original, unlearned, retrained), name and SHA-256."""

    role: str
    file: str
    sha256: str


@dataclass(frozen=True)
class Measured:
    """A metric of every model, in its unit, with what it can and cannot show.

    Attributes:
        reads: ``features`` or ``logits``.
        about: ``forget`` or ``retain``, the set that it speaks of.
        shows, hides: what it can and cannot show.
        alone: which bounds remain without a retrained model.
        retrained: a value for each retrained model.
        resolution: the smallest difference that these images can show, such as one test image.
    """

    name: str
    label: str
    unit: str
    reads: str
    about: str
    shows: str
    hides: str
    alone: str
    original: float
    unlearned: float
    retrained: tuple[float, ...]
    resolution: float = 0.0

    @property
    def gap(self) -> float | None:
        """|unlearned − mean of retrained|; None without one."""
        return abs(self.unlearned - statistics.fmean(self.retrained)) if self.retrained else None

    @property
    def floor(self) -> float | None:
        """Largest difference between two retrained models; None for fewer than two."""
        return max(self.retrained) - min(self.retrained) if len(self.retrained) > 1 else None


@dataclass(frozen=True)
class Judgement:
    """A verdict, the same in a sentence, and what it rests on, a sentence each.

    ``p_value`` is of all metrics together: how often a retrained model would differ as much from the given ones; None
    where the model was not compared with retrained ones.
    """

    verdict: Verdict
    words: str
    evidence: tuple[str, ...]
    p_value: float | None = None


@dataclass(frozen=True)
class Audit:
    """All that an audit found, and all that is needed to repeat it."""

    inputs: tuple[Input, ...]
    architecture: str
    features: str
    preprocessing: str
    images: str
    forget: str
    made_with: str
    command: str
    measured: tuple[Measured, ...]
    changed: str
    judgement: Judgement

    def _repr_html_(self) -> str:
        """Returns verdict and table, for notebooks."""
        from html import escape

        verdict = escape(one_line(self.judgement.words))
        return f"<p>{escape(EVIDENCE)}</p><p><strong>{verdict}</strong></p>" + tabulate(
            lines_of(self), HEADER, tablefmt="html", disable_numparse=True
        )


def facts_of(audit: Audit) -> list[tuple[str, str]]:
    """Returns what was audited, name and words."""
    return [
        *((each.role, f"{each.file}, SHA-256 {each.sha256}") for each in audit.inputs),
        ("weights", audit.changed),
        ("architecture", audit.architecture),
        ("features", audit.features),
        ("images", audit.images),
        ("preprocessing", audit.preprocessing),
        ("forget set", audit.forget),
        ("made with", audit.made_with),
    ]


def lines_of(audit: Audit) -> list[list[str]]:
    """Returns a line for each metric, as :data:`HEADER` names its parts."""
    lines = []
    for each in audit.measured:
        numbers = [each.original, each.unlearned, *([statistics.fmean(each.retrained)] if each.retrained else [None])]
        shown = [_number(value, each.unit) for value in (*numbers, each.gap, each.floor)]
        lines.append([f"{each.label} {each.unit}".strip(), each.reads, *shown])
    return lines


def meanings_of(audit: Audit) -> list[list[str]]:
    """Returns of each metric what it can show, what it cannot, and what remains without a retrained model."""
    has_reference = any(each.retrained for each in audit.measured)
    return [[each.label, each.shows, each.hides, *([] if has_reference else [each.alone])] for each in audit.measured]


def meanings_header(audit: Audit) -> list[str]:
    """Returns the names of the parts of :func:`meanings_of`."""
    has_reference = any(each.retrained for each in audit.measured)
    return ["metric", "can show", "cannot show", *([] if has_reference else ["without a retrained model"])]


def to_text(audit: Audit) -> str:
    """Returns the audit for a terminal: first what it is, then the verdict, then everything that it rests on."""
    table = tabulate(lines_of(audit), HEADER, tablefmt="simple", disable_numparse=True)
    meanings = [
        f"{name}: can show {shows[:1].lower()}{shows[1:]} Cannot show {hides[:1].lower()}{hides[1:]}"
        + "".join(f" Without a retrained model: {each[:1].lower()}{each[1:]}" for each in alone)
        for name, shows, hides, *alone in meanings_of(audit)
        if shows
    ]
    facts = tabulate(
        [[name, one_line(words)] for name, words in facts_of(audit)], tablefmt="plain", disable_numparse=True
    )
    parts = [
        EVIDENCE,
        "",
        f"Verdict: {audit.judgement.words}",
        *(f"- {one_line(each)}" for each in audit.judgement.evidence),
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


def to_json(audit: Audit) -> str:
    """Returns the audit as JSON.

    An object with the fields of :class:`Audit`: ``inputs`` (role, file, sha256), ``measured`` (name, label, unit,
    reads, about, shows, hides, alone, original, unlearned, retrained as a list, gap and floor or null), ``judgement``
    (verdict, words, evidence, p_value or null), the others as text; and ``evidence_not_proof``, the sentence that every
    audit begins with.
    """
    content: dict[str, Any] = {"evidence_not_proof": EVIDENCE, **dataclasses.asdict(audit)}
    for each, record in zip(audit.measured, content["measured"], strict=True):
        record.update(gap=each.gap, floor=each.floor)
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)


def _number(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:.{1 if unit == '%' else 3}f}"
