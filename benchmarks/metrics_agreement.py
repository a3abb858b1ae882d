"""Each metric against an independent reference on the same features: those of every model that a profile has recorded.

    python benchmarks/metrics_agreement.py --profile demo

The references share no code with the package: NumPy in float64 for alignment (singular values, explicit projector),
mutual information, F1 and accuracy; scikit-learn for the probes (logistic regression), for k-means (its own seeding on
the images as they come) and for the attack (equal sizes by drawing, the median of 100 draws).
Prints the largest absolute difference over all models, and writes it with what it means to results/.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from unlearn_bench.config.benchmarks import database_url, load
from unlearn_bench.config.selection import Choice, select
from unlearn_bench.core.environment import packages
from unlearn_bench.data.loading import data_folder
from unlearn_bench.data.loading import load as load_images
from unlearn_bench.data.scenarios import scenarios
from unlearn_bench.metrics import metrics
from unlearn_bench.models.outputs import ModelOutputs, Outputs, arrange, predict_all
from unlearn_bench.report.bench import Bench
from unlearn_bench.running.plan import make_plan
from unlearn_bench.running.runner import Runner
from unlearn_bench.store import Store
from unlearn_bench.training.devices import machine
from unlearn_bench.training.monitor import RunMonitor

Array = Any


def features(*parts: Outputs) -> Array:
    """Returns the features of the parts, one after the other, in float64."""
    return np.concatenate([part.features.double().numpy() for part in parts])


def labels(*parts: Outputs) -> Array:
    """Returns the labels of the parts, one after the other."""
    return np.concatenate([part.labels.numpy() for part in parts])


def da(out: ModelOutputs) -> float:
    """DA by singular values of the retain features and an explicit projector."""
    _, singular, rows = np.linalg.svd(features(out.retain), full_matrices=False)
    p = singular**2 / (singular**2).sum()
    k = max(1, round(float(np.exp(-(p[p > 0] * np.log(p[p > 0])).sum()))))
    forget = features(out.forget)
    moment = forget.T @ forget
    return float(np.linalg.norm(moment @ (rows[:k].T @ rows[:k])) / np.linalg.norm(moment))


def linear_probe(train: list[Outputs], test: Outputs) -> float:
    """A probe by scikit-learn."""
    probe = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-9, max_iter=50_000))
    return float(100 * probe.fit(features(*train), labels(*train)).score(features(test), labels(test)))


def clusters(out: ModelOutputs) -> tuple[Array, Array]:
    """k-means by scikit-learn on the images as they come, from another seed."""
    member = np.r_[np.zeros(len(out.retain), int), np.ones(len(out.forget), int)]
    return KMeans(out.classes, n_init=10, random_state=1).fit_predict(features(out.retain, out.forget)), member


def f1(out: ModelOutputs) -> float:
    """Precision and recall of every cluster by counting."""
    cluster, member = clusters(out)
    best = 0.0
    for k in range(out.classes):
        shared = float(((cluster == k) & (member == 1)).sum())
        precision, recall = shared / max(1, (cluster == k).sum()), shared / member.sum()
        best = max(best, 2 * precision * recall / (precision + recall) if shared else 0.0)
    return best


def nmi(out: ModelOutputs) -> float:
    """Mutual information over the smaller entropy, by the definition."""
    cluster, member = clusters(out)
    joint = np.array([[np.mean((cluster == k) & (member == x)) for x in (0, 1)] for k in range(out.classes)])
    outer = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    information = (joint[joint > 0] * np.log(joint[joint > 0] / outer[joint > 0])).sum()
    entropies = [-(p[p > 0] * np.log(p[p > 0])).sum() for p in (joint.sum(0), joint.sum(1))]
    return float(information / min(entropies))


def accuracy(part: Outputs) -> float:
    """Top-1 by NumPy."""
    return float(100 * np.mean(part.logits.numpy().argmax(1) == part.labels.numpy()))


def confidence(*parts: Outputs) -> Array:
    """Largest softmax probability by NumPy."""
    z = np.concatenate([part.logits.double().numpy() for part in parts])
    p = np.exp(z - z.max(1, keepdims=True))
    return (p / p.sum(1, keepdims=True)).max(1)


def mia(out: ModelOutputs) -> float:
    """The attack with equal sizes by drawing members; the median of 100 draws."""
    others, members = confidence(out.test_retain, out.test_forget), confidence(out.retain)
    size = min(len(members), len(others))
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(100):
        sides = [rng.choice(side, size, replace=False) for side in (members, others)]
        q = np.concatenate(sides)[:, None]
        attack = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-8))
        attack.fit(q, np.r_[np.ones(size), np.zeros(size)])
        shares.append(attack.predict(confidence(out.forget)[:, None]).mean())
    return statistics.median(shares)


REFERENCES: dict[str, Callable[[ModelOutputs], float]] = {
    "da": da,
    "lp_forget": lambda out: linear_probe([out.retain, out.forget], out.test_forget),
    "lp_retain": lambda out: linear_probe([out.retain], out.test_retain),
    "f1": f1,
    "nmi": nmi,
    "acc_forget": lambda out: accuracy(out.test_forget),
    "acc_retain": lambda out: accuracy(out.test_retain),
    "mia": mia,
}


def main() -> None:
    """Compares every metric on every model of a profile's table A."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--db", default=None)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", category=RuntimeWarning)
    benchmarks = load()
    url = database_url(benchmarks, arguments.db)
    bench = Bench(benchmarks, select(benchmarks, Choice(profile=arguments.profile)), Store(url, create=False))
    subset = bench.selection.experiment
    dataset = load_images(
        bench.selection.source,
        folder=data_folder(benchmarks.home),
        train_per_class=subset.train_per_class,
        test_per_class=subset.test_per_class,
    )
    runner = Runner(bench.store, dataset, torch.device("cpu"))
    torch.set_num_threads(subset.threads)
    plan = make_plan(bench.selection, bench.benchmarks.table("A").full_rows, dataset, bench.store)
    differences: dict[str, list[float]] = {name: [] for name in REFERENCES}
    seconds = {"ours": 0.0, "reference": 0.0}
    for task in plan.tasks:
        split = scenarios.get(task.spec.experiment.scenario).function(dataset, task.spec.forget)
        network, _ = runner.weights(task, split, RunMonitor())
        outputs = arrange(predict_all(network, dataset.test, split, runner.normalise_for(network)), split)
        for name, reference in REFERENCES.items():
            started = time.perf_counter()
            ours = metrics.get(name).function(outputs)
            between = time.perf_counter()
            theirs = reference(outputs)
            seconds["ours"] += between - started
            seconds["reference"] += time.perf_counter() - between
            differences[name].append(abs(ours - theirs))
    print(f"profile {arguments.profile}, {len(plan.tasks)} models, {machine()}")
    print(f"{'metric':12} {'largest':>10} {'median':>10}  models that differ by more than 1e-9")
    for name, found in differences.items():
        many = sum(difference > 1e-9 for difference in found)
        print(f"{name:12} {max(found):10.3g} {statistics.median(found):10.3g}  {many}/{len(found)}")
    result = {
        "models": len(plan.tasks),
        "machine": machine(),
        "packages": packages(),
        "seconds": seconds,
        "differences": differences,
    }
    target = benchmarks.home / "results" / f"metrics-agreement-{arguments.profile}.json"
    target.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
