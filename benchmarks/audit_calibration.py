"""How often the verdict of an audit is wrong: recorded models of the demo, audited with 1 to 10 retrained models.

    unlearn-bench reproduce --table A --profile demo --seed 0 … --seed 29 --db sqlite:///FILE
    python benchmarks/audit_calibration.py --db FILE     (without --db: what was written last)

The values are those of results/demo-runs-30-seeds.csv: every method of the demo's tables A and cheats, at all seeds. A
draw is a forget set, a model of a seed, and R retrained models of other seeds. The verdict sees the metrics only: that
only a head was changed is hidden from it. The prior spread is taken from the other four forget sets, so no set judges
itself; with `--scale` it is made wrong on purpose. Prints the share of each verdict by method and R, and the prior
spreads of unlearn_bench/auditing/comparison.py; writes results/bench-audit-calibration.json.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from unlearn_bench.auditing.comparison import PRIOR_SPREAD
from unlearn_bench.auditing.judgement import judge
from unlearn_bench.auditing.results import Measured
from unlearn_bench.config.benchmarks import load
from unlearn_bench.config.selection import Choice
from unlearn_bench.metrics import metrics
from unlearn_bench.report.bench import Bench
from unlearn_bench.store import Store

RESULTS = Path(__file__).parent.parent / "results"
RUNS = RESULTS / "demo-runs-30-seeds.csv"
TEST_IMAGES = {"forget": 36, "retain": 324}  # of digits, of one class and of the others

Models = dict[tuple[str, str], dict[int, dict[str, float]]]  # by method and forget set, of each seed the metrics


def read_runs(file: Path = RUNS) -> Models:
    """Returns the recorded values."""
    found: Models = defaultdict(dict)
    with file.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            values = {name: float(value) for name, value in row.items() if name not in ("method", "forget", "seed")}
            found[row["method"], row["forget"]][int(row["seed"])] = values
    return dict(found)


def write_runs(database: Path, file: Path = RUNS) -> None:
    """Writes the recorded values of the demo's tables A and cheats, at all seeds that have a retrained model."""
    store = Store(f"sqlite:///{database}", create=False)
    benchmarks = load()
    seeds = tuple(sorted({run.seed for run in store.runs(method="retrained") if run.profile == "demo"}))
    bench = Bench.choose(benchmarks, store, Choice(profile="demo", seeds=seeds))
    names = benchmarks.table("A").metrics
    tables = [bench.table(name, without_reference=True) for name in ("A", "cheats")]
    keys = dict.fromkeys(key for table in tables for row in table.rows for key in row.runs)
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["method", "forget", "seed", *names])
        for run in bench.recorded(list(keys)):
            if run.status == "done" and set(names) <= set(run.values):
                writer.writerow([run.method, run.forget, run.seed, *(f"{run.values[name]:.6g}" for name in names)])


def prior_of(models: Models, forget: list[str]) -> dict[str, float]:
    """Returns the pooled standard deviation over seeds of the retrained models of these forget sets."""
    names = next(iter(models["retrained", forget[0]].values()))
    pooled = {
        name: statistics.fmean(statistics.variance(v[name] for v in models["retrained", f].values()) for f in forget)
        for name in names
    }
    return {name: variance**0.5 for name, variance in pooled.items() if variance}


def verdict_of(models: Models, method: str, forget: str, seed: int, others: list[int], prior: dict[str, float]) -> str:
    """Returns the verdict on a recorded model against the retrained models of other seeds."""
    measured = []
    for name, value in models[method, forget][seed].items():
        metric = metrics.get(name)
        measured.append(
            Measured(
                name=name,
                label=metric.label,
                unit=metric.unit,
                reads=metric.reads,
                about=metric.about,
                shows="",
                hides="",
                without_reference="",
                original=models["original", forget][seed][name],
                unlearned=value,
                retrained=tuple(models["retrained", forget][other][name] for other in others),
                resolution=100 / TEST_IMAGES[metric.about] if metric.unit == "%" else 0.01,
            )
        )
    return judge(measured, ["hidden"], len(others), "", True, prior=prior).verdict


def calibrate(models: Models, references: int, draws: int, scale: float, seed: int = 0) -> dict[str, dict[str, float]]:
    """Returns the share of each verdict by method."""
    rng = np.random.default_rng(seed)
    forgets = sorted({forget for _, forget in models})
    priors = {
        forget: {
            name: scale * spread
            for name, spread in prior_of(models, [other for other in forgets if other != forget]).items()
        }
        for forget in forgets
    }
    found = {}
    for method in sorted({method for method, _ in models}):
        counts: Counter[str] = Counter()
        for _ in range(draws):
            forget = forgets[rng.integers(len(forgets))]
            own = int(rng.choice(sorted(models[method, forget])))
            pool = [seed for seed in models["retrained", forget] if seed != own]
            others = [int(other) for other in rng.choice(pool, references, replace=False)]
            counts[verdict_of(models, method, forget, own, others, priors[forget])] += 1
        found[method] = {verdict: round(count / draws, 4) for verdict, count in counts.most_common()}
    return found


def main() -> None:
    """Calibrates, prints and writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--scale", type=float, action="append", help="factor of the prior spread; default 1, .5 and 2")
    parser.add_argument("--db", type=Path, help="SQLite file whose runs are written to the CSV file first")
    given = parser.parse_args()
    if given.db:
        write_runs(given.db)
    models = read_runs()
    spreads = {name: float(f"{spread:.3g}") for name, spread in prior_of(models, list("13579")).items()}
    print("prior spreads", spreads, "in the code", PRIOR_SPREAD)
    result: dict[str, object] = {"draws": given.draws, "prior spreads": spreads}
    for scale in given.scale or [1.0, 0.5, 2.0]:
        for references in (1, 2, 3, 5, 10):
            shares = calibrate(models, references, given.draws, scale)
            key = f"{references} references, prior spread × {scale:g}"
            result[key] = shares
            print(key, *(f"  {method}: {found}" for method, found in shares.items()), sep="\n", flush=True)
    (RESULTS / "bench-audit-calibration.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
