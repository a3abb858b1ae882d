"""What the record says of every claim of benchmarks.yaml."""

from __future__ import annotations

from dataclasses import dataclass

from unlearn_bench.config.benchmarks import DATASET, Claim
from unlearn_bench.config.selection import Placed, Selection
from unlearn_bench.core.errors import ConfigError, MissingRunError, OptionError, did_you_mean
from unlearn_bench.report.bench import Bench
from unlearn_bench.report.claims import CurveReader, Judged, Reader, TableReader, Verdict, judge
from unlearn_bench.report.curves import curves_of
from unlearn_bench.report.tables import build_table

SUMMARY: dict[Verdict, str] = {  # in its order; one on stand-ins is left out where there is none
    "held": "held",
    "not held": "not held",
    "on a stand-in: holds": "hold on a stand-in",
    "on a stand-in: does not hold": "do not hold on a stand-in",
    "not measured": "not measured",
}


@dataclass(frozen=True)
class Finding:
    """A test and what became of it, for all the claims that come to it.

    Attributes:
        claims: each in the words of benchmarks.yaml, and the paper's data set that it is about, or None for any.
        measured_on: the data sets that were measured for it, as people write them.
        judged: the verdict.
    """

    claims: tuple[tuple[Claim, str | None], ...]
    measured_on: tuple[str, ...]
    judged: Judged


@dataclass(frozen=True)
class _Source:
    """A table or a figure that claims are about: its rows, and a reader of them, or why there is none."""

    placed: Placed
    reader: Reader | str


def describe_claims(bench: Bench) -> tuple[list[str], list[list[str]], list[str]]:
    """Returns header, body and notes of a table of every claim with its verdict, see :func:`findings`."""
    found = findings(bench)
    body = [[_says(bench, each), each.judged.verdict, _where(bench, each), each.judged.figures] for each in found]
    verdicts = [each.judged.verdict for each in found]
    counts = [
        f"{verdicts.count(verdict)} {words}"
        for verdict, words in SUMMARY.items()
        if "stand-in" not in words or any("stand-in" in each for each in verdicts)
    ]
    claims = sum(len(each.claims) for each in found)
    notes = [f"{', '.join(counts)}."]
    if claims > len(found):
        counted = f"{len(found)} finding{'s' if len(found) > 1 else ''}"
        notes.append(f"{claims} claims are {counted}: the same test of the same values is counted once.")
    return ["claim", "verdict", "measured on", "figures"], body, notes


def findings(bench: Bench) -> list[Finding]:
    """Returns what the record says of every claim, of several with the same test of the same values once.

    A claim about several data sets is one about each. One that was measured on another data set, which the profile or
    the user has instead, is neither held nor refuted: its verdict says that it is of a stand-in. What lacks its runs is
    not measured.

    Raises:
        ConfigError: a claim that names neither a table nor a figure, or both, that is about a data set which this does
            not have, or whose test cannot be read.
        UnknownNameError: it names a table or figure that does not exist.
    """
    sources: dict[tuple[str, str], _Source] = {}
    found: dict[object, Finding] = {}
    for claim in bench.benchmarks.claims:
        place = (claim.table, claim.figure)
        if place not in sources:
            sources[place] = _read(bench, claim)
        about: list[str | None] = [*claim.about] or [None]
        for dataset in about:
            finding, test = _judge(claim, dataset, sources[place])
            key = (test, finding.judged)
            if key in found:
                finding = Finding((*found[key].claims, *finding.claims), finding.measured_on, finding.judged)
            found[key] = finding
    return list(found.values())


def _judge(claim: Claim, dataset: str | None, source: _Source) -> tuple[Finding, str]:
    """Returns what a table or figure says of a claim about a data set, or about any, and the test as it was put."""
    measured = _measured(claim, dataset, source)
    labels = tuple(dict.fromkeys(selection.dataset_label for selection in measured))
    test = claim.test.replace(DATASET, labels[0]) if dataset and labels else claim.test
    if isinstance(source.reader, str):
        judged = Judged("not measured", reason=source.reader)
    else:
        on_stand_in = dataset is not None and any(selection.source != dataset for selection in measured)
        judged = judge(test, source.reader, on_stand_in=on_stand_in)
    return Finding(((claim, dataset),), labels, judged), test


def _measured(claim: Claim, dataset: str | None, source: _Source) -> list[Selection]:
    """Returns what was measured for a data set of the paper, or, without one, all that the table or figure has."""
    if dataset is None or not source.placed:
        return [selection for _, selection in source.placed]
    by_paper = {paper.dataset: selection for row, selection in source.placed for paper in row.papers}
    if dataset not in by_paper:
        name = f"table {claim.table}" if claim.table else f"figure {claim.figure}"
        raise ConfigError(
            f"benchmarks.yaml: claims: '{claim.says}' is about the data set '{dataset}', and {name} has "
            f"{', '.join(by_paper)}.{did_you_mean(dataset, by_paper)}"
        )
    return [by_paper[dataset]]


def _says(bench: Bench, finding: Finding) -> str:
    """Returns the claims of a finding in words, with the paper's data sets: those in the same words as one."""
    by_words: dict[str, list[str]] = {}
    for claim, dataset in finding.claims:
        labels = by_words.setdefault(claim.says, [])
        labels += [bench.benchmarks.label_of(dataset)] if dataset else []
    return "; ".join(says.replace(DATASET, ", ".join(labels)) for says, labels in by_words.items())


def _where(bench: Bench, finding: Finding) -> str:
    """Returns what was measured, and in place of which data sets of the paper."""
    measured = ", ".join(finding.measured_on)
    if "stand-in" not in finding.judged.verdict:
        return measured
    papers = dict.fromkeys(bench.benchmarks.label_of(dataset) for _, dataset in finding.claims if dataset)
    return f"{measured}, in place of {', '.join(papers)}"


def _read(bench: Bench, claim: Claim) -> _Source:
    if bool(claim.table) == bool(claim.figure):
        raise ConfigError(f"benchmarks.yaml: claims: '{claim.says}' must name a table or a figure, one of them.")
    placed: Placed = ()
    try:
        if claim.figure:
            figure = bench.benchmarks.figure(claim.figure)
            placed = bench.placed(figure)
            return _Source(placed, CurveReader(claim.figure, curves_of(claim.figure, figure, placed, bench.store)))
        entry = bench.benchmarks.table(claim.table)
        placed = bench.placed(entry, plugins=False)
        table = build_table(claim.table, entry, placed, bench.store, without_reference=True)
        return _Source(placed, TableReader(table))
    except (MissingRunError, OptionError) as problem:  # or the data set that was chosen has no such scenario
        return _Source(placed, str(problem))
