"""All that a table needs of one model, against a single inference pass over the same images.

    python benchmarks/metrics_cost.py --data DIR --images 10000

The network (ResNet-18 of width 64) is first trained for some epochs on real CIFAR-10, since features of an untrained
one make other problems for probes and clusters. Then, in turn: one pass over all images, and every metric from its
outputs; also the membership attack against plain scikit-learn on the same confidences, drawn anew to the number of all
of CIFAR-10: decisions compared, then times.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from measuring import ROUNDS, Line, in_turn, median, report
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from unlearn_bench.data.batches import Normalise
from unlearn_bench.data.loading import load
from unlearn_bench.data.scenarios import split_dataset
from unlearn_bench.methods import UnlearningProblem
from unlearn_bench.metrics import metrics, metrics_of
from unlearn_bench.metrics.membership import attack, confidence
from unlearn_bench.models import build
from unlearn_bench.models.outputs import ModelOutputs, arrange, predict_all
from unlearn_bench.training.loop import make_optimizer

Confidences = npt.NDArray[np.float64]
Decisions = npt.NDArray[np.bool_]


def scikit_attack(members: Confidences, others: Confidences, asked: Confidences) -> Decisions:
    """Returns whether scikit-learn's attack calls each asked sample a member: the plain calls that ours replaces."""
    sides = (members, others)
    size = min(len(side) for side in sides)
    weight = np.concatenate([np.full(len(side), size / len(side)) for side in sides])
    found = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-8, max_iter=1000))
    found.fit(
        np.concatenate(sides)[:, None],
        np.repeat([1, 0], [len(side) for side in sides]),
        standardscaler__sample_weight=weight,
        logisticregression__sample_weight=weight,
    )
    decided: Decisions = found.predict(asked[:, None]) == 1
    return decided


def our_attack(members: Confidences, others: Confidences, asked: Confidences) -> Decisions:
    """Returns the same of ours."""
    slope, level, mean, std = attack(members, others)
    decided: Decisions = slope * ((asked - mean) / std) + level > 0
    return decided


def at_full_size(outputs: ModelOutputs) -> tuple[Confidences, Confidences, Confidences]:
    """Returns confidences drawn anew, with replacement, as many as all of CIFAR-10 has: D_r, the test images, D_f."""
    drawn = np.random.default_rng(0)
    others = np.r_[confidence(outputs.test_retain), confidence(outputs.test_forget)]
    retain, forget = confidence(outputs.retain), confidence(outputs.forget)
    sides = ((retain, 45_000), (others, 10_000), (forget, 5_000))
    members, non_members, asked = (side[drawn.integers(len(side), size=number)] for side, number in sides)
    return members, non_members, asked


def main() -> None:
    """Measures one size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of cifar10")
    parser.add_argument("--images", type=int, default=10_000, help="training images; a fifth as many test images")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
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
    split = split_dataset(dataset, "class", "1", {})
    predictions = predict_all(network, dataset.test, split, normalise)
    names = [metric.name for metric in metrics_of("class")]

    each: dict[str, list[float]] = {name: [] for name in names}

    def everything() -> None:
        outputs = arrange(predictions, split)  # a new object: metrics share their work by it
        for name in names:
            started = time.perf_counter()
            metrics.get(name).function(outputs)
            each[name].append(time.perf_counter() - started)

    works: dict[str, Callable[[], object]] = {
        "pass": lambda: predict_all(network, dataset.test, split, normalise),
        "all metrics": everything,
    }
    sides = at_full_size(arrange(predictions, split))
    assert np.array_equal(our_attack(*sides), scikit_attack(*sides)), "the attacks decide differently"
    seconds = in_turn(works, given.rounds)
    with threadpool_limits(1):  # as runs take it: more threads only wait for each other
        attacks = {"attack, ours": lambda: our_attack(*sides), "attack, scikit-learn": lambda: scikit_attack(*sides)}
        seconds |= in_turn(attacks, 5 * given.rounds)
    middle = {name: median(taken) for name, taken in seconds.items()}
    lines = [
        Line("one pass", middle["pass"], "s"),
        Line("all metrics", middle["all metrics"], "s"),
        Line("pass and all metrics over the pass", 1 + middle["all metrics"] / middle["pass"], "×", "≤ 1.3"),
        Line("attack, scikit-learn over ours", middle["attack, scikit-learn"] / middle["attack, ours"], "×", "≥ 5"),
        *(Line(f"of which {name}", median(taken), "s") for name, taken in each.items()),
    ]
    report(
        f"metrics-cost-{given.width}",
        lines,
        {"seconds": seconds | each, "images": len(dataset.train) + len(dataset.test)},
    )


if __name__ == "__main__":
    main()
