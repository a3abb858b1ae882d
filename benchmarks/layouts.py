"""Training with both memory layouts: images per second of each network and precision, in turn in one process.

    python benchmarks/layouts.py --precision float32 --precision bfloat16

A layout is that of the weights: convolutions and poolings follow it, whatever the layout of the images. Each network
trains through the batches and the loop that every method uses. The gradients of both layouts are compared first.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from measuring import Line, in_turn, median, report
from training_step import loss_and_gradient, ours

from unlearn_bench.data import Images
from unlearn_bench.models import Classifier, build
from unlearn_bench.training.devices import choose_device

LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}
NETWORKS: dict[str, tuple[dict[str, Any], int]] = {  # each with its batch size
    "airbench": ({"name": "airbench"}, 256),
    "resnet18, width 64": ({"name": "resnet18", "width": 64, "groups": 32}, 64),
    "resnet18, width 16": ({"name": "resnet18", "width": 16, "groups": 4}, 64),
}


def main() -> None:
    """Measures every network with the given precisions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", action="append", choices=["bfloat16", "float32"], help="default: float32")
    parser.add_argument("--network", action="append", choices=list(NETWORKS), help="default: all")
    parser.add_argument("--steps", type=int, default=2, help="in each round")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = choose_device(given.device)
    lines, raw = [], {}
    for precision in given.precision or ["float32"]:
        for name in given.network or NETWORKS:
            description, batch = NETWORKS[name]
            count = batch * given.steps
            generator = torch.Generator().manual_seed(0)
            pixels = torch.randint(0, 256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
            images = Images(pixels, torch.randint(0, 10, (count,), generator=generator)).to(device)
            dtype = getattr(torch, precision)

            def network(layout: str, description: dict[str, Any] = description) -> Classifier:
                made = build(description, channels=3, classes=10, seed=1).to(device)
                return made.to(memory_format=LAYOUTS[layout])

            some = images[torch.arange(min(32, count), device=device)]
            (_, one), (_, other) = (loss_and_gradient(network(layout), some, torch.float32) for layout in LAYOUTS)
            seconds = in_turn({layout: ours(network(layout), images, batch, given.steps, dtype) for layout in LAYOUTS})
            rate = {layout: count / median(taken) for layout, taken in seconds.items()}
            title = f"{name}, {precision}"
            lines += [Line(f"{title}, {layout}", value, "images/s") for layout, value in rate.items()]
            lines.append(
                Line(f"{title}, channels-last over contiguous", rate["channels-last"] / rate["contiguous"], "×")
            )
            lines.append(Line(f"{title}, difference of gradients", float((one - other).norm() / one.norm()), ""))
            raw[title] = seconds
    report("layouts" + f"-{given.device}" * (given.device != "cpu"), lines, {"seconds": raw, "steps": given.steps})


if __name__ == "__main__":
    main()
