"""Writes a check as text, as JUnit XML for continuous integration, and as Markdown for a job page."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from unlearn_bench.config.expectations import Comparison, Expectation
from unlearn_bench.report.render import one_line, with_notes

SYMBOLS = {"same": "=", "within": "~", "worse": "✗ worse", "better": "✗ better", "changed": "✗ changed"}
SYMBOLS |= {"lost": "✗ not measured", "unexpected": "? no expectation"}
HEADER = ["method", "metric", "before", "after", "difference", "margin", ""]
LEGEND = (
    "=: equal to the recorded digits; ~: within the margin (the tolerance, or the spread over repeats if it is wider); "
    "✗: outside the margin: further from retrained (worse), nearer (better), or the value of a reference (changed). "
    "Every ✗ fails the check; if you intend a change, record it with --update."
)


def verdict(compared: Sequence[Comparison]) -> str:
    """Returns the result of the check as one sentence."""
    failed = [comparison for comparison in compared if comparison.fails]
    if failed:
        methods = ", ".join(dict.fromkeys(comparison.method for comparison in failed))
        return f"{len(failed)} of {len(compared)} values differ from the recorded ones: {methods}."
    unexpected = sum(comparison.mark == "unexpected" for comparison in compared)
    more = f"; {unexpected} have no expectation" if unexpected else ""
    return f"{len(compared) - unexpected} of {len(compared)} values are as recorded{more}."


def lines_of(compared: Sequence[Comparison]) -> list[list[str]]:
    """Returns a line for each comparison, with the columns of :data:`HEADER`."""
    return [
        [
            one_line(cell.method),
            one_line(cell.metric),
            _number(cell.before),
            _number(cell.after),
            "–" if cell.before is None or cell.after is None else f"{cell.after - cell.before:+.4g}",
            f"{cell.margin:.3g}",
            SYMBOLS[cell.mark],
        ]
        for cell in compared
    ]


def to_text(name: str, compared: Sequence[Comparison], format: str = "text") -> str:
    """Returns the check as ``text`` or ``markdown``, failing values first."""
    ordered = sorted(compared, key=lambda comparison: not comparison.fails)
    return with_notes(HEADER, lines_of(ordered), [verdict(compared), LEGEND], format, title=f"Check {name}")


def power_to_text(name: str, entry: Expectation) -> str:
    """Returns a table of the margin and the smallest detectable change of every expected value."""
    margins, power = entry.margins(), entry.power()
    body = [
        [
            method,
            metric,
            f"{expected.mean:.5g}",
            f"{expected.spread:.2g}",
            f"{margin:.3g}",
            f"{power[method, metric]:.3g}",
        ]
        for (method, metric), margin in margins.items()
        for expected in [entry.values[method][metric]]
    ]
    how = f"disturbances of seed {entry.seeds[0]}" if entry.disturbances else "seeds"
    notes = [
        f"Mean and spread over {len(entry.repeats)} {how}. A change of a value by `finds` or more fails the first pass "
        "in at least 95 of 100 checks. Unchanged code fails it in at most 1 of 100, if the values are normal."
    ]
    return with_notes(["method", "metric", "mean", "spread", "margin", "finds"], body, notes, "text", title=name)


def to_junit(name: str, compared: Sequence[Comparison], seconds: float) -> str:
    """Returns JUnit XML: a test case for each method and metric; a value without expectation is skipped."""
    failed = sum(comparison.fails for comparison in compared)
    skipped = sum(comparison.mark == "unexpected" for comparison in compared)
    counts = {"tests": str(len(compared)), "failures": str(failed), "skipped": str(skipped), "errors": "0"}
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": one_line(name), **counts, "time": f"{seconds:.3f}"})
    for comparison, line in zip(compared, lines_of(compared), strict=True):
        case = ElementTree.SubElement(
            suite, "testcase", {"classname": f"{one_line(name)}.{line[0]}", "name": line[1], "time": "0"}
        )
        message = f"before {line[2]}, after {line[3]}, difference {line[4]}, margin {line[5]}"
        if comparison.fails:
            ElementTree.SubElement(case, "failure", {"type": comparison.mark, "message": message})
        elif comparison.mark == "unexpected":
            ElementTree.SubElement(case, "skipped", {"message": "no expectation is recorded"})
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.5g}"
