"""What a table costs besides its runs: wall time of `reproduce`, less what its methods and metrics took.

    python benchmarks/orchestration.py

The demo's table 3 from an empty database, with one worker, so that seconds can be summed; then the same command again,
which has nothing to make. Start of Python, imports, reading images, planning and writing are all in the difference.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import Line, report

from unlearn_bench.store import Store


def main() -> None:
    """Measures one profile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="demo")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'runs.sqlite'}"
        words = ["-m", "unlearn_bench", "reproduce", "--table", "3", "--profile", given.profile, "--workers", "1"]
        walls = []
        for _ in range(2):
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, *words],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "UNLEARN_BENCH_DB": url},
            )
            walls.append(time.perf_counter() - started)
        runs = Store(url).runs()
        models = {run.model.key: run.model.method_seconds for run in runs if run.model}  # one original for all its runs
        method, evaluation = sum(models.values()), sum(run.evaluation_seconds for run in runs)
    lines = [
        Line("wall time", walls[0], "s"),
        Line("methods", method, "s"),
        Line("metrics", evaluation, "s"),
        Line("all else", walls[0] - method - evaluation, "s"),
        Line("all else, of the wall time", (walls[0] - method - evaluation) / walls[0], "", "≤ 0.03"),
        Line("the same command again", walls[1], "s"),
    ]
    report("orchestration", lines, {"runs": len(runs), "profile": given.profile})


if __name__ == "__main__":
    main()
