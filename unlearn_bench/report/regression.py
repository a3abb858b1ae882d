"""A check as a person, a continuous-integration server and a job page read it: text, JUnit XML, Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from unlearn_bench.expectations import Comparison, Expectation
from unlearn_bench.report.render import one_line, with_notes

SYMBOLS = {"same": "=", "within": "~", "worse": "✗ worse", "better": "✗ better", "changed": "✗ changed"}
SYMBOLS |= {"lost": "✗ not measured", "unexpected": "? no expectation"}
HEADER = ["method", "metric", "before", "after", "difference", "margin", ""]
LEGEND = (
    "=: the recorded digits; ~: within the margin (tolerance, or the spread over repeats where that is wider); "
    "✗: beyond it, worse or better by the distance from retrained, changed of a reference. A recorded number must "
    "hold, so each ✗ fails; what is meant is recorded with --update."
)


def verdict(compared: Sequence[Comparison]) -> str:
    """Returns the check in one line."""
    failed = [each for each in compared if each.fails]
    if failed:
        methods = ", ".join(dict.fromkeys(each.method for each in failed))
        return f"{len(failed)} of {len(compared)} values are not as recorded: {methods}."
    unknown = sum(each.mark == "unexpected" for each in compared)
    more = f", of {unknown} nothing is recorded" if unknown else ""
    return f"{len(compared) - unknown} of {len(compared)} values are as recorded{more}."


def lines_of(compared: Sequence[Comparison]) -> list[list[str]]:
    """Returns a line for each comparison, as :data:`HEADER` names its parts."""
    return [
        [
            one_line(each.method),
            one_line(each.metric),
            _number(each.before),
            _number(each.after),
            "–" if each.before is None or each.after is None else f"{each.after - each.before:+.4g}",
            f"{each.margin:.3g}",
            SYMBOLS[each.mark],
        ]
        for each in compared
    ]


def to_text(name: str, compared: Sequence[Comparison], format: str = "text") -> str:
    """Returns the check as ``text`` or ``markdown``, regressions first."""
    ordered = sorted(compared, key=lambda each: not each.fails)
    return with_notes(HEADER, lines_of(ordered), [verdict(compared), LEGEND], format, title=f"Check {name}")


def power_to_text(name: str, entry: Expectation) -> str:
    """Returns of every expected value the margin and the smallest change that a check finds."""
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
        "in at least 95 of 100 checks; unchanged code fails it in at most one of 100, as far as values are normal."
    ]
    return with_notes(["method", "metric", "mean", "spread", "margin", "finds"], body, notes, "text", title=name)


def to_junit(name: str, compared: Sequence[Comparison], seconds: float) -> str:
    """Returns JUnit XML: a test case for each method and metric; what is not expected yet is skipped."""
    failed = sum(each.fails for each in compared)
    skipped = sum(each.mark == "unexpected" for each in compared)
    counts = {"tests": str(len(compared)), "failures": str(failed), "skipped": str(skipped), "errors": "0"}
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": one_line(name), **counts, "time": f"{seconds:.3f}"})
    for each, line in zip(compared, lines_of(compared), strict=True):
        case = ElementTree.SubElement(
            suite, "testcase", {"classname": f"{one_line(name)}.{line[0]}", "name": line[1], "time": "0"}
        )
        message = f"before {line[2]}, after {line[3]}, difference {line[4]}, margin {line[5]}"
        if each.fails:
            ElementTree.SubElement(case, "failure", {"type": each.mark, "message": message})
        elif each.mark == "unexpected":
            ElementTree.SubElement(case, "skipped", {"message": "no expectation is recorded"})
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.5g}"
