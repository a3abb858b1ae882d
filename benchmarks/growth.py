"""Where it bends: time and memory against images, classes, width and configurations.

    python benchmarks/growth.py

One axis grows and the others stay. Each point is a process of its own, so that its peak of memory is its own. Metrics
are taken of made-up outputs (overlapping classes in d = 8 · width dimensions), training and inference of made-up images
at width w, plans of the demo's table 3 with so many seeds. The exponent is that of a power law between neighbouring
points: 1 is proportional, more is where it bends.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
from measuring import Line, in_turn, median, report
from training_step import GROUPS, MEAN, STD, ours

from unlearn_bench.config.benchmarks import Row, load
from unlearn_bench.config.selection import Choice
from unlearn_bench.data import Images
from unlearn_bench.data.batches import Normalise
from unlearn_bench.data.loading import load as load_data
from unlearn_bench.metrics import metrics
from unlearn_bench.models import build
from unlearn_bench.models.outputs import ModelOutputs, Outputs, predict
from unlearn_bench.report.bench import Bench
from unlearn_bench.running.plan import make_plan
from unlearn_bench.store import Store
from unlearn_bench.training.devices import peak_memory_bytes

BASE = {"images": 5_000, "classes": 10, "width": 64, "configurations": 5}
POINTS = {
    "images": [5_000, 10_000, 20_000, 50_000],
    "classes": [10, 100, 200],
    "width": [16, 64, 128],
    "configurations": [5, 50, 500],
}
GROUPS[128] = 32


def made_up(images: int, classes: int, width: int) -> ModelOutputs:
    """Returns outputs of overlapping classes, a fifth as many test as training images, class 1 forgotten."""
    generator = torch.Generator().manual_seed(0)
    centres = 0.3 * torch.randn(classes, 8 * width, generator=generator)

    def part(number: int, wanted: Callable[[torch.Tensor], torch.Tensor]) -> Outputs:
        labels = torch.arange(number) % classes
        labels = labels[wanted(labels)]
        features = (centres[labels] + torch.randn(len(labels), 8 * width, generator=generator)).relu()
        return Outputs(features, features @ centres.T, labels)

    def kept(labels: torch.Tensor) -> torch.Tensor:
        return labels != 1

    def forgotten(labels: torch.Tensor) -> torch.Tensor:
        return labels == 1

    return ModelOutputs(
        part(images, kept), part(images, forgotten), part(images // 5, kept), part(images // 5, forgotten)
    )


def works_of(axis: str, sizes: dict[str, int]) -> dict[str, Callable[[], object]]:
    """Returns what is timed along an axis."""
    if axis == "configurations":
        store = Store(f"sqlite:///{Path(tempfile.mkdtemp()) / 'runs.sqlite'}")
        bench = Bench.choose(load(), store, Choice(profile="demo", seeds=tuple(range(sizes[axis] // 5))))
        dataset = load_data("digits", folder=Path())
        rows = [Row(method="retrained"), *bench.benchmarks.table("3").rows_at("demo")]
        return {"plan": lambda: make_plan(bench.selection, rows, dataset, store)}
    works: dict[str, Callable[[], object]] = {}
    outputs = made_up(sizes["images"], sizes["classes"], sizes["width"])
    for name in ("da", "lp_forget", "nmi", "mia"):
        # a new object each time: metrics of a family share their work by it
        works[name] = lambda name=name: metrics.get(name).function(replace(outputs))  # type: ignore[misc]
    if axis == "width":
        batch = Images(torch.randint(0, 256, (256, 3, 32, 32), dtype=torch.uint8), torch.randint(0, 10, (256,)))
        model = {"name": "resnet18", "width": sizes["width"], "groups": GROUPS[sizes["width"]]}
        network = build(model, channels=3, classes=10, seed=1)
        works["training, 256 images"] = ours(network, batch, 64, 4, torch.bfloat16)
        works["inference, 256 images"] = lambda: predict(network, batch, Normalise(MEAN, STD))
    return works


def point(axis: str, value: int) -> None:
    """Prints the median seconds of one point, and the peak of memory, as JSON."""
    seconds = in_turn(works_of(axis, {**BASE, axis: value}))
    peak = peak_memory_bytes(torch.device("cpu")) or 0
    found = {"seconds": {name: median(taken) for name, taken in seconds.items()}, "peak_gib": peak / 2**30}
    print(json.dumps(found))


def main() -> None:
    """Measures every point of every axis."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--axis", nargs="*", default=list(POINTS), choices=list(POINTS))
    parser.add_argument("--point", type=int, help="measure this point alone, in this process")
    given = parser.parse_args()
    if given.point is not None:
        point(given.axis[0], given.point)
        return
    lines, details = [], {}
    for axis in given.axis:
        found = {}
        for value in POINTS[axis]:
            words = [sys.executable, __file__, "--axis", axis, "--point", str(value)]
            answer = subprocess.run(words, check=True, capture_output=True, text=True)
            found[value] = json.loads(answer.stdout.splitlines()[-1])
            lines.append(Line(f"{axis} {value}: peak of memory", found[value]["peak_gib"], "GiB"))
            lines += [Line(f"{axis} {value}: {what}", taken, "s") for what, taken in found[value]["seconds"].items()]
        for what in found[POINTS[axis][0]]["seconds"]:
            for low, high in pairwise(POINTS[axis]):
                ratio = found[high]["seconds"][what] / found[low]["seconds"][what]
                lines.append(
                    Line(f"{axis} {low} to {high}: exponent of {what}", math.log(ratio) / math.log(high / low), "")
                )
        details[axis] = found
    report("growth", lines, {"points": details, "base": BASE})


if __name__ == "__main__":
    main()
