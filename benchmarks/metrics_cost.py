"""All that a table needs of one model, against a single inference pass over the same images.

    python benchmarks/metrics_cost.py --data DIR --images 10000

The network (ResNet-18 of width 64) is first trained for some epochs on real CIFAR-10, since features of an untrained
one make other problems for probes and clusters. Then, in turn: one pass over all images, and every metric from its
outputs; also the membership attack against plain scikit-learn on the same arrays: decisions compared, then times.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from measuring import Line, in_turn, median, report
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from unlearn_bench.data.batches import Normalise
from unlearn_bench.data.loading import load
from unlearn_bench.data.settings import divide
from unlearn_bench.methods import UnlearningProblem
from unlearn_bench.metrics import metrics
from unlearn_bench.metrics.membership import attack, confidence
from unlearn_bench.models import build
from unlearn_bench.outputs import ModelOutputs, arrange, predict_all
from unlearn_bench.training import make_optimizer


def scikit_attack(outputs: ModelOutputs) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Returns whether scikit-learn's attack calls each sample of D_f a member: the plain calls that ours replaces."""
    sides = (confidence(outputs.retain), np.r_[confidence(outputs.test_retain), confidence(outputs.test_forget)])
    size = min(len(side) for side in sides)
    weight = np.concatenate([np.full(len(side), size / len(side)) for side in sides])
    found = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-8, max_iter=1000))
    found.fit(
        np.concatenate(sides)[:, None],
        np.repeat([1, 0], [len(side) for side in sides]),
        standardscaler__sample_weight=weight,
        logisticregression__sample_weight=weight,
    )
    decided: np.ndarray[tuple[int], np.dtype[np.bool_]] = found.predict(confidence(outputs.forget)[:, None]) == 1
    return decided


def our_attack(outputs: ModelOutputs) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Returns the same of ours."""
    others = np.r_[confidence(outputs.test_retain), confidence(outputs.test_forget)]
    slope, level, mean, std = attack(confidence(outputs.retain), others)
    decided: np.ndarray[tuple[int], np.dtype[np.bool_]] = (
        slope * ((confidence(outputs.forget) - mean) / std) + level > 0
    )
    return decided


def main() -> None:
    """Measures one size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of cifar10")
    parser.add_argument("--images", type=int, default=10_000, help="training images; a fifth as many test images")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    dataset = load("cifar10", folder=given.data, train_per_class=given.images // 10, test_per_class=given.images // 50)
    normalise = Normalise(dataset.mean, dataset.std)
    groups = 32 if given.width % 32 == 0 else 4
    network = build({"name": "resnet18", "width": given.width, "groups": groups}, channels=3, classes=10, seed=1)
    problem = UnlearningProblem(
        network, dataset.train, dataset.train[torch.arange(0)], (), 1, normalise, "crop_flip", torch.bfloat16
    )
    optimizer = make_optimizer("sgd", network.parameters(), lr=0.1, weight_decay=1e-3)
    problem.fit(network, problem.retain_batches(64), optimizer, epochs=given.epochs)
    split = divide(dataset, "class", "1", {})
    predictions = predict_all(network, dataset.test, split, normalise)
    names = [metric.name for metric in metrics if not metric.settings]

    def everything() -> None:
        outputs = arrange(predictions, split)  # a new object: metrics share their work by it
        for name in names:
            metrics.get(name).function(outputs)

    def alone(name: str) -> None:
        metrics.get(name).function(arrange(predictions, split))

    works: dict[str, Callable[[], object]] = {
        "pass": lambda: predict_all(network, dataset.test, split, normalise),
        "all metrics": everything,
    }
    for name in names:
        works[name] = partial(alone, name)
    outputs = arrange(predictions, split)
    assert np.array_equal(our_attack(outputs), scikit_attack(outputs)), "the attacks decide differently"
    works |= {"attack, ours": lambda: our_attack(outputs), "attack, scikit-learn": lambda: scikit_attack(outputs)}
    seconds = in_turn(works, given.rounds)
    middle = {name: median(taken) for name, taken in seconds.items()}
    lines = [
        Line("one pass", middle["pass"], "s"),
        Line("pass and all metrics over the pass", 1 + middle["all metrics"] / middle["pass"], "×", "≤ 1.3"),
        Line("attack, scikit-learn over ours", middle["attack, scikit-learn"] / middle["attack, ours"], "×", "≥ 5"),
        *(Line(f"{name} alone", middle[name], "s") for name in names),
    ]
    report(f"metrics-cost-{given.width}", lines, {"seconds": seconds, "images": len(dataset.train) + len(dataset.test)})


if __name__ == "__main__":
    main()
