"""How far the same runs come out the same: in another process, in several at once, with other CPU threads.

    python benchmarks/reproducibility.py
    python benchmarks/reproducibility.py --device cuda --workers 1 3
    python benchmarks/reproducibility.py --profile paper --forget 1 --device cuda --data DIR

Every variant makes a table's runs from an empty database, in processes of its own. Weights are compared by their
digests, metrics by their values, and means over forget sets by the differences that a table would show. CPU threads are
part of a run's identity, so the runs of another number of threads are other runs, here set beside the first ones.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from measuring import RESULTS, Line, report

from unlearn_bench.config.benchmarks import load
from unlearn_bench.store import Store
from unlearn_bench.store.records import RunRecord

Name = tuple[str, str, int, str]  # method, forget set, seed, options


@dataclass(frozen=True)
class Difference:
    """The greatest differences in a metric: between two runs; between two means over forget sets, and whose."""

    of_a_run: float
    of_a_mean: float
    method: str


def make(
    given: argparse.Namespace, folder: Path, workers: int, threads: int, forget: Sequence[str]
) -> dict[Name, RunRecord]:
    """Returns the runs of the table, made from nothing in processes of their own."""
    folder.mkdir()
    benchmarks = load()
    content = yaml.safe_load(benchmarks.file.read_text(encoding="utf-8"))
    content["profiles"][given.profile]["threads"] = threads
    (folder / "benchmarks.yaml").write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    url = f"sqlite:///{folder / 'runs.sqlite'}"
    words = ["reproduce", "--table", given.table, "--profile", given.profile, "--device", given.device]
    words += ["--workers", str(workers), "--config", str(folder / "benchmarks.yaml"), "--db", url]
    words += [word for name in forget for word in ("--forget", name)]
    words += ["--data", str(given.data.resolve())] if given.data else []
    made = subprocess.run(
        [sys.executable, "-m", "unlearn_bench", *words], stdout=subprocess.DEVNULL, check=False, env=os.environ
    )
    if made.returncode > 1:  # 1: a run diverged, which is a result like any other
        raise SystemExit(made.returncode)
    runs = Store(url).runs()
    return {(run.method, run.forget, run.seed, json.dumps(run.options, sort_keys=True)): run for run in runs}


def weights_of(run: RunRecord) -> str | None:
    """Returns the digest of a run's weights, or None where it has none."""
    return run.model.weights_digest if run.model else None


def compare(
    first: Mapping[Name, RunRecord], other: Mapping[Name, RunRecord]
) -> tuple[float, float, dict[str, Difference]]:
    """Returns the shares of runs whose weights and whose values are the same, and by metric the differences."""
    assert first.keys() == other.keys()
    weights = [weights_of(run) == weights_of(other[name]) for name, run in first.items()]
    values = [run.status == other[name].status and run.values == other[name].values for name, run in first.items()]
    differences: dict[str, dict[tuple[str, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    for name, run in first.items():
        for metric in run.values.keys() & other[name].values.keys():
            differences[metric][name[0], name[3]].append(other[name].values[metric] - run.values[metric])
    greatest = {}
    for metric, rows in sorted(differences.items()):
        of_a_run = max(abs(each) for row in rows.values() for each in row)
        of_a_mean, method = max((abs(statistics.fmean(row)), method) for (method, _), row in rows.items())
        greatest[metric] = Difference(of_a_run, of_a_mean, method)
    return statistics.fmean(weights), statistics.fmean(values), greatest


def main() -> None:
    """Makes the runs once in each way, and compares them with the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default="3")
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--forget", nargs="*", default=[], help="some of the forget sets; default: all")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2], help="the first one is the standard")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2], help="likewise; of a GPU give one")
    parser.add_argument("--folder", type=Path, default=RESULTS, help="of the figures")
    given = parser.parse_args()
    variants = {"another process": (given.workers[0], given.threads[0])}
    variants |= {f"{workers} workers": (workers, given.threads[0]) for workers in given.workers[1:]}
    variants |= {f"{threads} threads": (given.workers[0], threads) for threads in given.threads[1:]}
    lines: list[Line] = []
    details: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = make(given, folder / "first", given.workers[0], given.threads[0], given.forget)
        for number, (title, (workers, threads)) in enumerate(variants.items()):
            other = make(given, folder / str(number), workers, threads, given.forget)
            weights, values, differences = compare(first, other)
            details[title] = {metric: asdict(each) for metric, each in differences.items()}
            target = "" if threads != given.threads[0] else "≥ 1"
            lines.append(Line(f"{title}: runs with the same weights, of all", weights, "", target))
            lines.append(Line(f"{title}: runs with the same values, of all", values, "", target))
            for metric, each in differences.items():
                if each.of_a_run:
                    lines.append(
                        Line(f"{title}: {metric}, most that a mean differs ({each.method})", each.of_a_mean, "")
                    )
    devices = sorted({run.environment.device for run in first.values()})
    where = "cuda" if devices[0].startswith("cuda") else "cpu"
    more = {"runs": len(first), "profile": given.profile, "table": given.table, "device": devices}
    report(f"reproducibility-{given.profile}-{where}", lines, {"differences": details, **more}, given.folder)


if __name__ == "__main__":
    main()
