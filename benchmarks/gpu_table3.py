"""The headline: the whole of table 3 at the paper's scale, from nothing but the images, with what the time goes to.

    python benchmarks/gpu_table3.py --data DIR --stage original
    python benchmarks/gpu_table3.py --data DIR --stage retrained --workers 3
    python benchmarks/gpu_table3.py --data DIR --stage methods --workers 3
    python benchmarks/gpu_table3.py --data DIR --stage report

Every stage goes on where it stopped: what is recorded is not made again. With several workers, several processes share
the device. `--profile demo --device cpu --shape 1 8 8` tries the stages at toy scale. The report reads the database and
measures the peak, which is the best rate of a matrix product on the device; the work of one image is counted.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from measuring import RESULTS, Line, gemm_peak, report
from torch.utils.flop_counter import FlopCounterMode

from unlearn_bench.config.benchmarks import Row, load
from unlearn_bench.config.selection import Choice
from unlearn_bench.core.progress import silent
from unlearn_bench.models import build
from unlearn_bench.report.bench import Bench
from unlearn_bench.running.making import ExecutionConfig, make_runs
from unlearn_bench.store import Store
from unlearn_bench.store.records import RunRecord
from unlearn_bench.training.devices import choose_device

STAGES = ("original", "retrained", "methods", "report")


def forward_flops(run: RunRecord, shape: tuple[int, ...]) -> float:
    """Returns the operations of one image's forward pass."""
    network = build(dict(run.spec["experiment"]["model"]), channels=shape[0], classes=10, seed=0)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, *shape))
    return float(counter.get_total_flops())


def summarise(
    bench: Bench, walls: dict[str, float], device: torch.device, shape: tuple[int, ...], folder: Path
) -> None:
    """Prints the breakdown of what is recorded."""
    runs = [run for run in bench.store.runs(experiment_key=bench.selection.experiment.key) if run.model]
    models = {run.model.key: (run.method, run.model) for run in runs if run.model}
    seconds = {"references": 0.0, "methods": 0.0}
    flops, one = 0.0, forward_flops(runs[0], shape)
    for method, model in models.values():
        seconds["references" if method in ("original", "retrained") else "methods"] += model.method_seconds
        flops += one * (model.forward_images + 2 * model.backward_images)
    precision = getattr(torch, bench.selection.experiment.precision)
    peak = gemm_peak(precision, device=device)
    wall = sum(walls.values())
    accuracy = [run.values["acc_retain"] for run in runs if run.method == "original" and run.values]
    is_goal = bench.selection.profile == "paper"
    lines = [
        Line("wall time of all stages", wall, "s", "≤ 900" if is_goal else ""),
        *(Line(f"stage {name}", taken, "s") for name, taken in walls.items()),
        Line("references, seconds of their workers", seconds["references"], "s"),
        Line("methods, likewise", seconds["methods"], "s"),
        Line("metrics, likewise", sum(run.evaluation_seconds for run in runs), "s"),
        Line("test accuracy of the original", min(accuracy), "%", "≥ 92" if is_goal else ""),
        Line("model FLOP utilisation over the wall time", flops / wall / peak / 1e9, "", "≥ 0.4" if is_goal else ""),
        Line(f"{bench.selection.experiment.precision} peak of the device", peak / 1e3, "TFLOP/s"),
    ]
    statuses = {status: sum(run.status == status for run in runs) for status in ("done", "diverged", "failed")}
    details = {"runs": statuses, "device": sorted({run.environment.device for run in runs})}
    report(f"gpu-table3-{bench.selection.profile}", lines, details, folder)


def main() -> None:
    """Carries out one stage, or reports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", required=True, choices=STAGES)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--profile", default="paper")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=RESULTS, help="of the database and of the stages' wall times")
    parser.add_argument("--shape", type=int, nargs=3, default=[3, 32, 32], help="of an image")
    parser.add_argument("--forget", nargs="*", default=[], help="some of the forget sets; default: all")
    given = parser.parse_args()
    store = Store(f"sqlite:///{given.folder / 'gpu-table3.sqlite'}")
    bench = Bench.choose(load(), store, Choice(profile=given.profile, forget=tuple(given.forget)))
    log = given.folder / "gpu-table3-walls.json"
    walls: dict[str, float] = json.loads(log.read_text()) if log.exists() else {}
    if given.stage == "report":
        summarise(bench, walls, choose_device(given.device), tuple(given.shape), given.folder)
        return
    table = bench.benchmarks.table("3")
    rows = {
        "original": [Row(method="original")],
        "retrained": [Row(method="retrained")],
        "methods": [row for row in table.rows_at(given.profile) if row.method not in ("original", "retrained")],
    }
    started = time.perf_counter()
    execution = ExecutionConfig(
        given.data, False, given.device, given.workers, silent, lambda line: print(line, flush=True)
    )
    outcome = make_runs(bench, rows[given.stage], execution)
    walls[given.stage] = walls.get(given.stage, 0.0) + time.perf_counter() - started
    log.write_text(json.dumps(walls))
    print(f"{given.stage}: {len(outcome.made)} of {len(outcome.runs)} runs made, {outcome.failures} not done, {walls}")


if __name__ == "__main__":
    main()
