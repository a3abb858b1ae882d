"""Search of the default hyper-parameters, without the test set and without any retrained model.

    python benchmarks/search_options.py muda --profile demo

For every forget set of a profile a fifth of D_f and of D'_r is held out. The method sees the rest, in as many
optimiser steps as it would take on all (the batch is made smaller in proportion). What is held out gives the score,
the mean of four shares:

    retain    accuracy on held-out D'_r: nothing else is damaged
    forgotten 1 − accuracy on held-out D_f: the model no longer names the class
    da        DA of held-out D_f against D'_r: the forgotten samples lie in the subspace of the retained ones
    mixed     1 − NMI of clusters and membership, held-out D_f among D'_r: they form no cluster of their own

A cheat of the last layer passes the first two, so the features have their say, in the two ways in which the paper
reads them. Every setting of the grid is printed and written to results/search/, the best first. A setting that loses
more than five points against the original model on held-out D'_r (`lost`) is damage, not unlearning: it comes after
all others (`usable` false). The first row, or a cheaper one of the same score, became the default or, where it depends
on the scale, the profile's option.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from unlearn_bench.bench import Bench
from unlearn_bench.config import Row, database_url, load, select
from unlearn_bench.data import Images, data_folder
from unlearn_bench.data import load as load_images
from unlearn_bench.data.settings import settings
from unlearn_bench.errors import DivergedError
from unlearn_bench.journal import Journal
from unlearn_bench.methods import methods
from unlearn_bench.metrics.accuracy import top1
from unlearn_bench.metrics.alignment import da
from unlearn_bench.metrics.clustering import nmi
from unlearn_bench.outputs import ModelOutputs, predict
from unlearn_bench.plan import make_plan
from unlearn_bench.runner import Runner, Task
from unlearn_bench.store import Store

HELD_OUT = 0.2
TOLERATED_LOSS = 0.05
SCORED = ("retain", "forgotten", "da", "mixed")

GRIDS: dict[str, dict[str, list[Any]]] = {
    "muda": {
        "optimizer,lr": [("sgd", 1e-3), ("sgd", 0.01), ("sgd", 0.03), ("sgd", 0.1), ("adam", 1e-4), ("adam", 1e-3)],
        "alpha,beta": [(0.1, 0.01), (1.0, 0.1), (1.0, 1.0), (0.1, 1.0)],
        "batch_size": [32],
    },
    "neggrad": {"lr": [1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 5e-2, 1e-1, 2e-1, 3e-1], "epochs": [2, 3, 5, 10]},
    "ft": {"lr": [1e-3, 1e-2, 1e-1], "epochs": [10, 20]},
    "neggrad_ft": {"lr": [1e-3, 1e-2, 3e-2, 1e-1], "epochs": [5, 10, 20]},
    "scrub": {"lr": [5e-4, 2e-3, 5e-3, 1e-2, 2e-2], "epochs,msteps": [(3, 2), (10, 5), (10, 10)], "alpha": [1e-3, 0.1]},
    "fisher": {"alpha": [1e-9, 1e-8, 3e-8, 1e-7, 3e-7, 1e-6, 3e-6]},
    "eu_k": {"lr": [1e-2, 1e-1], "epochs": [10, 20, 50], "weight_decay": [0.0, 0.01]},
    "cf_k": {"lr": [1e-3, 1e-2, 1e-1], "epochs": [10, 20]},
    "ft_classifier": {"lr": [0.1, 1.0], "epochs": [20, 100], "weight_decay": [0.0, 0.01, 0.1]},
}


def settings_of(grid: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Yields every setting; a name with commas stands for values that belong together."""
    for values in itertools.product(*grid.values()):
        chosen: dict[str, Any] = {}
        for names, value in zip(grid, values, strict=True):
            parts = names.split(",")
            chosen.update(zip(parts, value if len(parts) > 1 else (value,), strict=True))
        yield chosen


def hold_out(images: Images, seed: int) -> tuple[Images, Images]:
    """Returns the images in two parts, what is held out second; an empty set stays empty."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    held = round(HELD_OUT * len(images))
    return images[order[held:].sort().values], images[order[:held].sort().values]


Shares = dict[str, float]  # those scored, each in [0, 1], and `lost`


def score(runner: Runner, task: Task, options: dict[str, Any]) -> Shares:
    """Returns the shares of one setting on one configuration; where it diverged, all is lost."""
    torch.set_num_threads(task.spec.experiment.threads)
    split = settings.get(task.spec.experiment.setting).function(runner.dataset, task.spec.forget)
    # D_f and D'_r both, whatever the method declares: what it does not see is scored all the same
    everything = runner.problem(replace(task, spec=replace(task.spec, method="muda")), split, Journal())
    retain, held_retain = hold_out(everything.retain, everything.seed)
    forget, held_forget = hold_out(everything.forget, everything.seed)
    train_set = task.method.train_set
    nothing = retain[torch.zeros(0, dtype=torch.int64)]
    problem = replace(
        everything,
        retain=nothing if train_set == "D_f" else retain,
        forget=forget if "D_f" in train_set else nothing,
    )
    whole = len(everything.forget)  # of D'_r as well
    batches = {
        name: math.ceil(len(forget) / math.ceil(whole / size)) for name, size in options.items() if "batch_size" in name
    }
    before = top1(predict(problem.original, held_retain, runner.normalise)) / 100
    try:
        network = task.method.function(problem, **{**options, **batches})
        seen, kept, gone = (predict(network, images, runner.normalise) for images in (retain, held_retain, held_forget))
    except DivergedError:
        return {**dict.fromkeys(SCORED, 0.0), "lost": before}
    outputs = ModelOutputs(retain=seen, forget=gone, test_retain=kept, test_forget=gone)
    after = top1(kept) / 100
    return {
        "retain": after,
        "forgotten": 1 - top1(gone) / 100,
        "da": da(outputs),
        "mixed": 1 - nmi(outputs),
        "lost": before - after,
    }


_runner: list[Runner] = []


def start(url: str, dataset: Any) -> None:
    """Prepares a worker process."""
    _runner.append(Runner(Store(url), dataset, torch.device("cpu")))


def work(job: tuple[Task, dict[str, Any]]) -> Shares:
    """Scores one setting on one configuration in a worker process."""
    return score(_runner[0], *job)


def main() -> None:
    """Searches one method's grid and writes what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", choices=GRIDS)
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--forget", action="append", default=[], help="default: the profile's forget sets")
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--db", default=None)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    benchmarks = load()
    url = database_url(benchmarks, arguments.db)
    bench = Bench(benchmarks, select(benchmarks, profile=arguments.profile, forget=arguments.forget), Store(url))
    dataset = load_images(
        bench.selection.source,
        folder=data_folder(benchmarks.home, arguments.data),
        train_per_class=bench.selection.experiment.train_per_class,
        test_per_class=bench.selection.experiment.test_per_class,
    )
    plan = make_plan(bench.selection, [Row(method=arguments.method)], dataset, bench.store)
    tasks = [task for task in plan.tasks if task.spec.method == arguments.method]
    method = methods.get(arguments.method)
    grid = [{**tasks[0].spec.options, **chosen} for chosen in settings_of(GRIDS[arguments.method])]
    started = time.perf_counter()
    with ProcessPoolExecutor(arguments.workers, get_context("spawn"), start, (url, dataset)) as pool:
        scores = list(pool.map(work, [(task, options) for options in grid for task in tasks]))
    seconds = time.perf_counter() - started
    found = []
    for position, options in enumerate(grid):
        own = scores[position * len(tasks) : (position + 1) * len(tasks)]
        shares = {name: statistics.fmean(part[name] for part in own) for name in own[0]}
        chosen = {name: options[name] for names in GRIDS[method.name] for name in names.split(",")}
        mean = statistics.fmean(shares[name] for name in SCORED)
        found.append({**chosen, **shares, "score": mean, "usable": shares["lost"] <= TOLERATED_LOSS})
    found.sort(key=lambda row: (not row["usable"], -row["score"]))
    print(
        f"{method.name}, profile {arguments.profile}, {len(grid)} settings × {len(tasks)} forget sets, {seconds:.0f} s"
    )
    for row in found:
        print(
            "  ".join(
                f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
            )
        )
    target = benchmarks.home / "results" / "search" / f"{method.name}-{arguments.profile}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"seconds": seconds, "held_out": HELD_OUT, "settings": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
