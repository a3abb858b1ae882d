"""How often the marks of a table are wrong: ties (`=`) and the noise floor (`≠`, `≈`), before and after.

    python benchmarks/ties_and_floor.py

Simulates tables of nine methods on five forget sets at S seeds, normal, with a share of the variance common to all sets
of a seed, as one original model gives it. "Before" is what this project did until November 2026: a percentile bootstrap
over configurations for ties, and for the floor the largest gap between two seeds. Writes every rate to
results/bench-ties-and-floor.json; nominal are 5 % for ties and `≠`, 5 % for `≈` at the typical difference.
With results/demo-runs-30-seeds.csv beside it, retrained models of the demo are dealt into pseudo-methods too: real
values in place of normal ones.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unlearn_bench.core.environment import packages
from unlearn_bench.report.floor import TYPICAL, Floor, distance
from unlearn_bench.report.ties import Differences, marks_of
from unlearn_bench.training.devices import machine

Array = npt.NDArray[np.float64]
RESULTS = Path(__file__).parent.parent / "results"
METHODS, SETS = 9, 5
SHARED = 0.5  # share of a difference's variance that all forget sets of a seed have in common


def draw(rng: np.random.Generator, means: Sequence[float], seeds: int, shared: float) -> Array:
    """Returns differences to retrained (methods, seeds, sets) of standard deviation 1 around the means."""
    common = rng.normal(size=(len(means), seeds, 1)) * shared**0.5
    own = rng.normal(size=(len(means), seeds, SETS)) * (1 - shared) ** 0.5
    return np.asarray(means)[:, None, None] + common + own


def by_pair(values: Array) -> Differences:
    """Returns one method's differences (seeds, sets) by configuration."""
    return {(str(k), seed): float(value) for seed, row in enumerate(values) for k, value in enumerate(row)}


def tied_before(one: Array, best: Array) -> bool:
    """Returns the verdict of the percentile bootstrap over configurations that this project used before."""
    drawn = np.random.default_rng(0).integers(one.size, size=(999, one.size))
    gaps = [np.abs(side.ravel()[drawn].mean(axis=1)) for side in (one, best)]
    low, high = np.quantile(gaps[0] - gaps[1], [0.025, 0.975])
    return bool(low <= 0 <= high)


def ties(rng: np.random.Generator, seeds: int, shared: float, tables: int) -> dict[str, float]:
    """Returns shares of methods that are called farther than the smallest, before and after."""
    counts = dict.fromkeys(("equal before", "equal after", "farther by 1 before", "farther by 1 after"), 0.0)
    counts |= dict.fromkeys(("farther by 3 before", "farther by 3 after"), 0.0)
    for _ in range(tables):
        for name, means in (
            ("equal", [2.0] * METHODS),
            ("farther by 1", [2.0] * (METHODS - 1) + [3.0]),
            ("farther by 3", [2.0] * (METHODS - 1) + [5.0]),
        ):
            values = draw(rng, means, seeds, shared)
            best = int(np.abs(values.mean(axis=(1, 2))).argmin())
            others = [METHODS - 1] if name != "equal" else [k for k in range(METHODS) if k != best]
            marks = marks_of({k: by_pair(values[k]) for k in range(METHODS)})
            for k in others:
                share = 1 / len(others) / tables
                counts[f"{name} before"] += share * (k != best and not tied_before(values[k], values[best]))
                counts[f"{name} after"] += share * (bool(marks) and k not in marks)
    return counts


def floors(rng: np.random.Generator, seeds: int, tables: int) -> dict[str, float]:
    """Returns shares of verdicts on a method at true differences of 0, typical, 1 and 3 (standard deviations)."""
    counts: dict[str, float] = {}
    for name, shift in (("0", 0.0), ("typical", TYPICAL), ("1", 1.0), ("3", 3.0)):
        for _ in range(tables):
            retrained, method = rng.normal(size=seeds), rng.normal(shift, size=seeds)
            largest = max(abs(a - b) for a, b in itertools.combinations(retrained, 2))
            inside = abs(method.mean() - retrained.mean()) <= largest
            lies = distance(list(method), Floor(tuple(retrained)))
            assert lies is not None
            for key in ("≈ before",) if inside else ():
                counts[f"{name}: {key}"] = counts.get(f"{name}: {key}", 0.0) + 1 / tables
            key = f"{name}: {lies.verdict}"
            counts[key] = counts.get(key, 0.0) + 1 / tables
    return counts


def real(file: Path, rng: np.random.Generator, tables: int) -> dict[str, dict[str, float]]:
    """Returns, by metric and seeds, how often retrained models in the place of methods are called different.

    Of thirty seeds some are dealt to the retrained model, others to each of two pseudo-methods.
    """
    with file.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["method"] == "retrained"]
    forget, seeds = sorted({row["forget"] for row in rows}), sorted({int(row["seed"]) for row in rows})
    metrics = [name for name in rows[0] if name not in ("method", "forget", "seed")]
    found: dict[str, dict[str, float]] = {}
    for metric in metrics:
        table: Mapping[tuple[str, int], float] = {(r["forget"], int(r["seed"])): float(r[metric]) for r in rows}
        values = np.array([[table[name, seed] for name in forget] for seed in seeds])
        for count in (2, 5, 10):
            different = equal = 0
            for _ in range(tables):
                own, one, other = rng.permutation(len(seeds))[: 3 * count].reshape(3, count)
                lies = distance(list(values[one].mean(axis=1)), Floor(tuple(values[own].mean(axis=1))))
                different += lies is not None and lies.verdict == "different"
                pseudo = {k: by_pair(values[part] - values[own]) for k, part in enumerate((one, other))}
                equal += "smallest" in marks_of(pseudo).values()
            found.setdefault(metric, {})[f"{count} seeds: ≠"] = different / tables
            found[metric][f"{count} seeds: one of two marked smallest"] = equal / tables
    return found


def rounded(rates: Mapping[str, float]) -> dict[str, float]:
    """Returns the rates in order of their names, to four digits."""
    return {name: round(rate, 4) for name, rate in sorted(rates.items())}


def main() -> None:
    """Simulates, prints and writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tables", type=int, default=1000)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    result: dict[str, Any] = {"tables": given.tables, "machine": machine(), "packages": packages()}
    for seeds in (1, 2, 5, 10, 30):
        for shared in (0.0, SHARED):
            key = f"ties, {seeds} seeds, {shared:.0%} of the variance shared by a seed's sets"
            result[key] = rounded(ties(rng, seeds, shared, given.tables))
            print(key, result[key], flush=True)
        if seeds > 1:
            key = f"floor, {seeds} seeds"
            result[key] = rounded(floors(rng, seeds, 4 * given.tables))
            print(key, result[key], flush=True)
    recorded = RESULTS / "demo-runs-30-seeds.csv"
    if recorded.exists():
        result["demo's retrained models in place of methods"] = real(recorded, rng, given.tables)
        print(json.dumps(result["demo's retrained models in place of methods"], indent=1))
    (RESULTS / "bench-ties-and-floor.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
