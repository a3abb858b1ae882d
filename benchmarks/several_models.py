"""How many models to train at once: processes times threads on a CPU, processes on one GPU.

    python benchmarks/several_models.py
    python benchmarks/several_models.py --device cuda --processes 1 2 4 8

The reference models of a table are independent, so `--workers` makes several of them at once. Each process here trains
a model of its own with the loop that every method uses; a round begins for all at the same moment, and the rates of all
are added. The choices take turns. All models start alike, so those that are trained side by side must end alike: the
last line of each choice counts the different ones.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier

import torch
from measuring import ROUNDS, Line, median, report
from training_step import GROUPS, MEAN, STD

from unlearn_bench.data import Images
from unlearn_bench.data.batches import Normalise
from unlearn_bench.methods import UnlearningProblem
from unlearn_bench.models import build, weights_digest
from unlearn_bench.training.devices import choose_device
from unlearn_bench.training.loop import make_optimizer


@dataclass(frozen=True)
class Work:
    """What each process trains."""

    width: int
    batch: int
    steps: int
    precision: str
    device: str


def train(work: Work, threads: int, barrier: Barrier, answer: Connection) -> None:
    """Trains one model; answers with the seconds of a round and the digest of its weights."""
    torch.set_num_threads(threads)
    device = choose_device(work.device)
    generator = torch.Generator().manual_seed(0)
    count = work.batch * work.steps
    pixels = torch.randint(0, 256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
    images = Images(pixels, torch.randint(0, 10, (count,), generator=generator)).to(device)
    model = {"name": "resnet18", "width": work.width, "groups": GROUPS[work.width]}
    network = build(model, channels=3, classes=10, seed=1).to(device)
    problem = UnlearningProblem(
        network,
        images,
        images[torch.arange(0)],
        (),
        1,
        Normalise(MEAN, STD),
        "crop_flip",
        getattr(torch, work.precision),
    )
    batches = problem.retain_batches(work.batch)
    optimizer = make_optimizer("sgd", network.parameters(), lr=0.01, weight_decay=1e-3)
    problem.train_epoch(network, batches, optimizer)  # untimed: kernels are chosen, memory is taken
    barrier.wait()
    started = time.perf_counter()
    problem.train_epoch(network, batches, optimizer)  # reads the mean loss at its end, so the device is done
    answer.send((time.perf_counter() - started, weights_digest(network)))


def together(work: Work, processes: int, threads: int) -> tuple[float, int]:
    """Returns the images a second of all processes, and how many different models they made."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(processes)
    pipes = [context.Pipe(duplex=False) for _ in range(processes)]
    started = [context.Process(target=train, args=(work, threads, barrier, end)) for _, end in pipes]
    for process in started:
        process.start()
    answers = [receiver.recv() for receiver, _ in pipes]
    for process in started:
        process.join()
    images = work.batch * work.steps * processes
    return images / max(seconds for seconds, _ in answers), len({digest for _, digest in answers})


def main() -> None:
    """Measures every choice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--width", type=int, default=64, choices=sorted(GROUPS))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=4, help="in each round")
    parser.add_argument("--precision", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--processes", type=int, nargs="*", help="default: 1 and one a core")
    given = parser.parse_args()
    cores = torch.get_num_threads()
    choices = [(number, max(1, cores // number)) for number in given.processes or [1, cores]]
    work = Work(given.width, given.batch, given.steps, given.precision, given.device)
    rates: dict[tuple[int, int], list[float]] = {choice: [] for choice in choices}
    models: dict[tuple[int, int], int] = {}
    for _ in range(ROUNDS):
        for choice in choices:
            rate, models[choice] = together(work, *choice)
            rates[choice].append(rate)
    first = choices[0]
    lines = [Line(f"{p} × {t} threads", median(rates[p, t]), "images/s") for p, t in choices]
    lines += [
        Line(f"{p} × {t} over {first[0]} × {first[1]}", median(rates[p, t]) / median(rates[first]), "×")
        for p, t in choices[1:]
    ]
    lines += [Line(f"different models of {p} × {t}", models[p, t], "") for p, t in choices[1:]]
    details = {"images_a_second": {f"{p} × {t}": found for (p, t), found in rates.items()}, "batch": given.batch}
    report(f"several-models-{given.device}-{given.width}-{given.precision}", lines, details)


if __name__ == "__main__":
    main()
