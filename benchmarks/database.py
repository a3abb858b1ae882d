"""Reports from databases of 1,000, 10,000 and 100,000 runs with ten values each: the time that a user waits.

    python benchmarks/database.py

The runs are written by hand, in many experiments of 550 runs (ten methods and original, five forget sets, ten seeds),
of which a table shows one. Timed are whole commands, start of Python included: `report`, `runs`, `status`; beside them
`--help` and a Python that does nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from measuring import Line, in_turn, median, report

from unlearn_bench.config.benchmarks import load
from unlearn_bench.config.selection import Choice
from unlearn_bench.core.spec import RunSpec
from unlearn_bench.report.bench import Bench
from unlearn_bench.store import Store
from unlearn_bench.store.records import DatasetRecord, Environment, MethodRecord, MetricRecord, NewRun

METHODS = (
    "retrained",
    "original",
    "ft",
    "ft_classifier",
    "neggrad",
    "neggrad_ft",
    "fisher",
    "scrub",
    "eu_k",
    "cf_k",
    "muda",
)
METRICS = ("da", "lp_forget", "lp_retain", "f1", "nmi", "acc_forget", "acc_retain", "mia", "asr", "acc_clean")
EXPERIMENT = len(METHODS) * 5 * 10


def first_experiment(bench: Bench) -> list[NewRun]:
    """Returns the 550 runs of the demo's experiment, ten seeds of each configuration, values made up."""
    classes = tuple("0123456789")
    images = DatasetRecord("d" * 64, "digits", 1438, 359, "1×8×8", classes)
    known = tuple(MetricRecord(name, name, "", "higher", "") for name in METRICS)
    where = Environment("0", {"torch": "0", "scikit-learn": "0", "python": "0"}, "none", "cpu")
    runs = []
    for method in METHODS:
        options = dict(bench.selection.options.get(method, {}))
        for forget in bench.selection.forget:
            for seed in range(10):
                spec = RunSpec(bench.selection.experiment, forget, method, "1", options, seed, "d" * 64, forget * 64)
                digest = hashlib.sha256(spec.key.encode()).digest()
                values = {name: byte / 255 for name, byte in zip(METRICS, digest, strict=False)}
                described = MethodRecord(method, method, "", "", method in ("original", "retrained"))
                runs.append(
                    NewRun(spec, "demo", "done", None, options, images, 100, described, known, values, None, where, 0.0)
                )
    return runs


def fill(file: Path, runs: int) -> None:
    """Makes a database of at least so many runs: one experiment through the store, the others copied from it in SQL."""
    store = Store(f"sqlite:///{file}")
    bench = Bench.choose(load(), store, Choice(profile="demo"))
    for run in first_experiment(bench):
        store.record(run)
    with sqlite3.connect(file) as raw:
        columns = [
            row[1] for row in raw.execute("PRAGMA table_info(runs)") if row[1] not in ("id", "key", "experiment_key")
        ]
        names = ", ".join(columns)
        for copy in range(1, -(-runs // EXPERIMENT)):
            raw.execute(
                f"INSERT INTO runs (key, experiment_key, {names}) "
                f"SELECT '{copy}-' || substr(key, 1, 50), '{copy}', {names} FROM runs WHERE id <= {EXPERIMENT}"
            )
            raw.execute(
                "INSERT INTO metric_values (run_id, metric, version, value) SELECT run_id + ?, metric, version, value "
                f"FROM metric_values WHERE run_id <= {EXPERIMENT}",
                (copy * EXPERIMENT,),
            )
    raw.close()


def command(file: Path | None, *words: str) -> None:
    """Runs a command as typed."""
    environment = {**os.environ, **({"UNLEARN_BENCH_DB": f"sqlite:///{file}"} if file else {})}
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL, env=environment)


def main() -> None:
    """Measures every size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    sizes = parser.parse_args().runs
    package = ("-m", "unlearn_bench")
    works: dict[str, Callable[[], None]] = {
        "python": partial(command, None, "-c", ""),
        "--help": partial(command, None, *package, "--help"),
    }
    targets = {"--help": "≤ 0.4"}
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            file = Path(folder) / f"{size}.sqlite"
            fill(file, size)
            asked = ("--profile", "demo")
            works[f"report, {size:,} runs"] = partial(command, file, *package, "report", "--table", "A", *asked)
            works[f"runs, {size:,} runs"] = partial(command, file, *package, "runs")
            works[f"status, {size:,} runs"] = partial(command, file, *package, "status", *asked)
            targets[f"report, {size:,} runs"] = "≤ 1.0"
        seconds = in_turn(works)
    lines = [Line(name, median(taken), "s", targets.get(name, "")) for name, taken in seconds.items()]
    report("database", lines, {"seconds": seconds, "values_per_run": len(METRICS)})


if __name__ == "__main__":
    main()
