"""How many k-means restarts F1 and NMI need: against the best of 500, and under a disturbance of the features.

    python benchmarks/kmeans_restarts.py --db sqlite:///results/runs.sqlite

Reads the features of a profile's recorded models whose F1 is below .99, drawn at random; in the others the forget set
is nearly a cluster of its own, which every restart finds. For each number of restarts, by Lloyd's algorithm alone and
with the exchanges that follow it in `unlearn_bench.numerics.kmeans`: the share of models whose F1 or NMI is not that
of the least inertia of all partitions found (500 restarts with exchanges among them), the difference, and the
seconds. Then the same features, each multiplied by 1 + 1e-6 times a normal draw and rounded to float32, as another
processor might have made them: how far F1 and NMI move from those of the same variant.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from measuring import Line, report
from torch import Tensor

from unlearn_bench.config.benchmarks import Benchmarks, database_url, load
from unlearn_bench.config.selection import Choice, select
from unlearn_bench.data.loading import data_folder
from unlearn_bench.data.loading import load as load_images
from unlearn_bench.data.scenarios import scenarios
from unlearn_bench.metrics.clustering import SEED, best_cluster_f1, membership_nmi, sorted_features
from unlearn_bench.models import checkpoints
from unlearn_bench.models.outputs import ModelOutputs, Outputs, Predictions, arrange
from unlearn_bench.numerics.kmeans import Clusters, lloyd, plus_plus, refined
from unlearn_bench.report.bench import Bench
from unlearn_bench.store import Store

RESTARTS = (10, 20, 50, 100, 200)
MOST = 500
EASY = 0.99  # F1 from which on every restart finds the forget set
DISTURBANCE = 1e-6
SAME = 1e-9  # differences below this are none

Pair = tuple[float, float]  # F1 and NMI
Variant = tuple[str, int]  # exchanges or Lloyd's algorithm alone, restarts


def recorded(benchmarks: Benchmarks, profile: str, url: str, number: int) -> Iterator[ModelOutputs]:
    """Yields the outputs of a number of models, drawn at random from those that are not easy."""
    bench = Bench(benchmarks, select(benchmarks, Choice(profile=profile)), Store(url, create=False))
    subset = bench.selection.experiment
    images = load_images(
        bench.selection.source,
        folder=data_folder(benchmarks.home),
        train_per_class=subset.train_per_class,
        test_per_class=subset.test_per_class,
    )
    runs = [
        run for run in bench.store.runs() if run.profile == profile and run.outputs and run.values.get("f1", 1) < EASY
    ]
    for run in random.Random(0).sample(runs, min(number, len(runs))):
        assert run.outputs is not None
        split = scenarios.get(run.scenario).function(images, run.forget)
        stored = run.outputs
        tensors = checkpoints.read(bench.store.output_files, stored.file, stored.file_digest, torch.device("cpu"))
        if tensors is not None:
            yield arrange(Predictions.from_tensors(tensors), split)


def disturbed(outputs: ModelOutputs, seed: int) -> ModelOutputs:
    """Returns the outputs with features that another processor might have made."""
    generator = torch.Generator().manual_seed(seed)

    def disturb(part: Outputs) -> Outputs:
        noise = torch.randn(part.features.shape, generator=generator, dtype=torch.float64)
        return replace(part, features=(part.features.double() * (1 + DISTURBANCE * noise)).float())

    return replace(outputs, retain=disturb(outputs.retain), forget=disturb(outputs.forget))


def values(found: Clusters, member: Tensor) -> Pair:
    """Returns F1 and NMI of the partition of least inertia."""
    cluster = found.best.numpy()
    return best_cluster_f1(cluster, member.numpy()), membership_nmi(cluster, member.numpy())


def cluster(x: Tensor, k: int, variant: Variant) -> Clusters:
    """Returns the partitions that a variant ends with."""
    kind, restarts = variant
    found = lloyd(x, plus_plus(x, k, restarts=restarts, seed=SEED))
    return refined(x, found, k) if kind == "exchanges" else found


def difference(one: Pair, other: Pair) -> Pair:
    """Returns the absolute differences in F1 and in NMI."""
    return abs(one[0] - other[0]), abs(one[1] - other[1])


def of_a_model(outputs: ModelOutputs, disturbances: int) -> dict[str, dict[Variant, list[Pair]]]:
    """Returns differences from the best partition and, of each disturbance, from the undisturbed; and seconds twice."""
    every = [(kind, restarts) for restarts in RESTARTS for kind in ("Lloyd", "exchanges")]
    x, member = sorted_features(outputs)
    found, seconds = {}, {}
    for variant in [*every, ("exchanges", MOST)]:
        started = time.perf_counter()
        found[variant] = cluster(x, outputs.classes, variant)
        seconds[variant] = time.perf_counter() - started
    best = values(min(found.values(), key=lambda each: float(each.inertia.min())), member)
    own = {variant: values(found[variant], member) for variant in every}
    moved: dict[Variant, list[Pair]] = defaultdict(list)
    for seed in range(disturbances):
        other, of_forget = sorted_features(disturbed(outputs, seed))
        for variant in every:
            moved[variant].append(difference(own[variant], values(cluster(other, outputs.classes, variant), of_forget)))
    return {
        "best": {variant: [difference(own[variant], best)] for variant in every},
        "disturbed": dict(moved),
        "seconds": {variant: [(seconds[variant], seconds[variant])] for variant in every},
    }


def main() -> None:
    """Measures every number of restarts on the recorded models."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--db", default=None)
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--disturbances", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(1)
    benchmarks = load()
    url = database_url(benchmarks, given.db)
    collected: dict[str, dict[Variant, list[Pair]]] = defaultdict(lambda: defaultdict(list))
    models = 0
    for outputs in recorded(benchmarks, given.profile, url, given.models):
        models += 1
        for what, by_variant in of_a_model(outputs, given.disturbances).items():
            for variant, pairs in by_variant.items():
                collected[what][variant] += pairs
    lines: list[Line] = []
    details: dict[str, dict[str, Any]] = {}
    for (kind, restarts), taken in collected["seconds"].items():
        name = f"{restarts} restarts, " + ("with exchanges" if kind == "exchanges" else "Lloyd alone")
        seconds = statistics.fmean(pair[0] for pair in taken)
        lines.append(Line(f"{name}: a model takes", seconds, "s"))
        details[name] = {"seconds": seconds}
        for what, words in (("best", "not at the best"), ("disturbed", "moved by the disturbance")):
            pairs = collected[what][kind, restarts]
            share = statistics.fmean(max(pair) > SAME for pair in pairs)
            lines.append(Line(f"{name}: {words}, of models", share, ""))
            details[name][what] = {"share": share} | {
                metric: {"mean": statistics.fmean(column), "largest": max(column)}
                for metric, column in zip(("f1", "nmi"), zip(*pairs, strict=True), strict=True)
            }
    report("kmeans-restarts", lines, {"models": models, "settings": details, "differences": DISTURBANCE})


if __name__ == "__main__":
    main()
