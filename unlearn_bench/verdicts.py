"""What the record says of every claim of benchmarks.yaml."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from unlearn_bench.bench import Bench
from unlearn_bench.config import Claim
from unlearn_bench.errors import ConfigError, MissingRunError, OptionError
from unlearn_bench.report.claims import CurveReader, Judged, Reader, TableReader, judge
from unlearn_bench.report.curves import curves_of
from unlearn_bench.report.tables import build_table


def describe_claims(bench: Bench) -> tuple[list[str], list[list[str]], list[str]]:
    """Returns header, body and notes of a table of every claim with its verdict, see :func:`verdicts`."""
    judged = verdicts(bench)
    found = [each.verdict for _, each in judged]
    counts = ", ".join(f"{found.count(verdict)} {verdict}" for verdict in ("held", "not held", "not measured"))
    body = [[each.says, each.verdict, on, each.figures] for on, each in judged]
    again = _read_again([each for _, each in judged if each.verdict != "not measured"])
    notes = [f"{counts}."] + ([f"{again} of them read the very values of another, on the same runs."] if again else [])
    return ["claim", "verdict", "measured on", "figures"], body, notes


def _read_again(judged: Sequence[Judged]) -> int:
    """Returns how many claims read what another has read: where one data set stands for several, these are one finding.

    Values are the same where number and the word before it are: rows of several data sets are called differently.
    """
    read = []
    for each in judged:
        words = each.figures.replace(",", " ").replace(";", " ").split()
        read.append(tuple((word, number) for word, number in pairwise(words) if _is_number(number)))
    return len(read) - len(set(read))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def verdicts(bench: Bench) -> list[tuple[str, Judged]]:
    """Returns, of every claim, the data sets of its table or figure, and what the record says.

    What lacks its runs is not measured.

    Raises:
        ConfigError: a claim that names neither a table nor a figure, or both, or whose test cannot be read.
        UnknownNameError: it names one that does not exist.
    """
    known: dict[tuple[str, str], tuple[str, Reader | str]] = {}
    judged = []
    for claim in bench.benchmarks.claims:
        place = (claim.table, claim.figure)
        if place not in known:
            known[place] = _read(bench, claim)
        datasets, reader = known[place]
        if isinstance(reader, str):
            judged.append((datasets, Judged(claim.says, "not measured", reader)))
        else:
            judged.append((datasets, judge(claim.says, claim.test, reader)))
    return judged


def _read(bench: Bench, claim: Claim) -> tuple[str, Reader | str]:
    """Returns the data sets of a claim's own rows, and a reader of them, or why there is none."""
    if bool(claim.table) == bool(claim.figure):
        raise ConfigError(f"benchmarks.yaml: claims: '{claim.says}' must name a table or a figure, one of them.")
    datasets: dict[str, None] = {}
    try:
        if claim.figure:
            figure = bench.benchmarks.figure(claim.figure)
            placed = bench.placed(figure)
            datasets = dict.fromkeys(selection.experiment.dataset for _, selection in placed)
            curves = curves_of(claim.figure, figure, placed, bench.store)
            return ", ".join(datasets), CurveReader(claim.figure, curves)
        entry = bench.benchmarks.table(claim.table)
        placed = bench.placed(entry, plugins=False)
        datasets = dict.fromkeys(selection.experiment.dataset for _, selection in placed)
        table = build_table(claim.table, entry, placed, bench.store, without_reference=True)
        return ", ".join(datasets), TableReader(table)
    except MissingRunError as problem:
        return ", ".join(datasets), str(problem)
    except OptionError as problem:  # the data set that was chosen has no such setting
        return "", str(problem)
