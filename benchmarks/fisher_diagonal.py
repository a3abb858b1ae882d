"""Fisher's diagonal of 1,000 digits: batched by torch.func against a loop over samples and classes.

    python benchmarks/fisher_diagonal.py

The loop is what one writes first: a forward pass for each sample, a backward pass for each class, the square of each
gradient weighted by the class's probability. Both run in float32 on the same trained network, in one process, in turn;
the outputs are compared before the times. Prints a table and writes results/fisher-diagonal.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from tabulate import tabulate
from torch import Tensor

from unlearn_bench.core import environment
from unlearn_bench.core.options import describe
from unlearn_bench.data import Images
from unlearn_bench.data.batches import Normalise
from unlearn_bench.data.loading import load
from unlearn_bench.methods import UnlearningProblem, methods
from unlearn_bench.methods.fisher import fisher_diagonal
from unlearn_bench.models import Classifier, build
from unlearn_bench.training.devices import machine

Diagonal = dict[str, Tensor]


def loop(network: Classifier, images: Images, normalise: Normalise) -> Diagonal:
    """Returns the diagonal, a sample and a class at a time."""
    parameters = dict(network.named_parameters())
    total = {name: torch.zeros_like(value) for name, value in parameters.items()}
    for pixels in images.pixels.split(1):
        log_p = network(normalise(pixels)).log_softmax(dim=1)[0]
        for value in log_p:
            gradients = torch.autograd.grad(value, list(parameters.values()), retain_graph=True)
            for name, gradient in zip(parameters, gradients, strict=True):
                total[name] += float(value.detach().exp()) * gradient.square()
    return {name: value / len(images) for name, value in total.items()}


def seconds_of(work: Callable[[], Diagonal]) -> tuple[float, Diagonal]:
    """Returns the wall time of a piece of work, and what it made."""
    started = time.perf_counter()
    made = work()
    return time.perf_counter() - started, made


def error_of(made: Diagonal, reference: Diagonal) -> float:
    """Returns the distance of two diagonals as a share of the reference's length."""
    exact = torch.cat([value.flatten().double() for value in reference.values()])
    ours = torch.cat([made[name].flatten().double() for name in reference])
    return float((ours - exact).norm() / exact.norm())


def main() -> None:
    """Compares and times both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch-size", type=int, action="append", default=[])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    dataset = load("digits", folder=Path())
    normalise = Normalise(dataset.mean, dataset.std)
    untrained = build({"name": "resnet18", "width": arguments.width, "groups": 4}, channels=1, classes=10, seed=7)
    nothing = dataset.train[torch.arange(0)]
    training = UnlearningProblem(untrained, dataset.train, nothing, (), 0, normalise)
    network = methods.get("original").unlearn(training, {"epochs": 3, "batch_size": 32}).eval()
    images = dataset.train[torch.arange(arguments.images)]
    problem = UnlearningProblem(network, images, nothing, (), 0, normalise)
    usual = next(option.default for option in describe(methods.get("fisher").function) if option.name == "batch_size")
    work: dict[str, Callable[[], Diagonal]] = {"loop": partial(loop, network, images, normalise)}
    for size in arguments.batch_size or [usual]:
        generator = torch.Generator()
        work[f"batched, {size} images"] = partial(fisher_diagonal, network, problem, "expected", size, generator)
    times: dict[str, list[float]] = {name: [] for name in work}
    errors: dict[str, float] = {}
    for _ in range(arguments.repeats):
        made = {}
        for name, call in work.items():
            seconds, made[name] = seconds_of(call)
            times[name].append(seconds)
        errors = {name: error_of(made[name], made["loop"]) for name in made}
    slow = statistics.median(times["loop"])
    rows = [
        {
            "what": name,
            "seconds": statistics.median(times[name]),
            "times faster": slow / statistics.median(times[name]),
            "relative error": errors[name],
        }
        for name in work
    ]
    print(tabulate(rows, headers="keys", floatfmt=("", ".2f", ".2f", ".1e")))
    target = Path(__file__).parent.parent / "results" / "fisher-diagonal.json"
    target.write_text(
        json.dumps(
            {
                "images": arguments.images,
                "width": arguments.width,
                "parameters": sum(value.numel() for value in network.parameters()),
                "threads": arguments.threads,
                "repeats": arguments.repeats,
                "rows": rows,
                "machine": machine(),
                "packages": environment.packages(),
            },
            indent=1,
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
