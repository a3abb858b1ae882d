"""A training step of the paper's network: ours against the loop that a user would write, and both against the peak.

    python benchmarks/training_step.py

Theirs: torchvision transforms on PIL images, a DataLoader in the training process, float32, the loss read at every
step. Ours: the batches and the loop that every method uses, at the precision given. Both train the same network on the
same images with batches of the same size, in one process, in turn. Before any time is taken, the losses and gradients
of one batch without augmentation are compared. The peak is the best rate of a square matrix product in the same type.
With `--compile`, ours is also compiled, with Inductor's choice of memory layouts and without: the first, untimed round
pays for that. With `--device cuda` all of it is on a GPU, theirs by a loader that copies batch after batch.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from itertools import islice

import torch
import torch.nn.functional as F
from measuring import Line, gemm_peak, in_turn, median, report
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms
from torchvision.transforms.functional import to_pil_image

from unlearn_bench.data import Images
from unlearn_bench.data.batches import Normalise
from unlearn_bench.methods import UnlearningProblem
from unlearn_bench.models import Classifier, build
from unlearn_bench.training.devices import choose_device
from unlearn_bench.training.loop import make_optimizer

MEAN, STD = (0.491, 0.482, 0.447), (0.247, 0.243, 0.262)
GROUPS = {16: 4, 64: 32}


class Pictures(Dataset[tuple[Tensor, int]]):
    """PIL images behind the usual transforms."""

    def __init__(self, images: Images) -> None:
        self.pictures = [to_pil_image(pixels) for pixels in images.pixels.cpu()]
        self.labels = images.labels.tolist()
        steps = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
        self.transform = transforms.Compose([*steps, transforms.Normalize(MEAN, STD)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.pictures[index]), self.labels[index]


def theirs(network: Classifier, images: Images, batch: int, steps: int) -> Callable[[], None]:
    """Returns what trains for some steps as a user would."""
    device = images.labels.device
    loader = DataLoader(Pictures(images), batch_size=batch, shuffle=True)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, weight_decay=1e-3)

    def endless() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from loader

    batches = endless()

    def work() -> None:
        network.train()
        running = 0.0
        for x, y in islice(batches, steps):
            optimizer.zero_grad()
            loss = F.cross_entropy(network(x.to(device)), y.to(device))
            loss.backward()
            optimizer.step()
            running += loss.item()

    return work


def ours(network: Classifier, images: Images, batch: int, steps: int, precision: torch.dtype) -> Callable[[], None]:
    """Returns what trains for some steps as every method here does."""
    problem = UnlearningProblem(
        original=network,
        retain=images,
        forget=images[torch.arange(0, device=images.labels.device)],
        forget_classes=(),
        seed=1,
        normalise=Normalise(MEAN, STD),
        augment="crop_flip",
        precision=precision,
    )
    batches = problem.retain_batches(batch)
    optimizer = make_optimizer("sgd", network.parameters(), lr=0.01, weight_decay=1e-3)
    return lambda: problem.train_epoch(network, batches, optimizer, steps=steps)


def loss_and_gradient(network: Classifier, images: Images, precision: torch.dtype) -> tuple[float, Tensor]:
    """Returns the loss of the images as they are, and its gradient, flat."""
    x = Normalise(MEAN, STD)(images.pixels)
    with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=precision == torch.bfloat16):
        loss = F.cross_entropy(network(x).float(), images.labels)
    gradient = torch.autograd.grad(loss, list(network.parameters()))
    return float(loss.detach()), torch.cat([part.flatten() for part in gradient])


def compiled(network: Classifier, options: dict[str, bool] | None = None) -> Classifier:
    """Returns the network, to be compiled at its first step."""
    network.compile(options=options)
    return network


def main() -> None:
    """Measures one width and precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=64, choices=sorted(GROUPS))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=4, help="in each round")
    parser.add_argument("--precision", default="bfloat16", choices=["bfloat16", "float32"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true", help="measure torch.compile as well")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    precision = getattr(torch, given.precision)
    generator = torch.Generator().manual_seed(0)
    count = given.batch * given.steps
    pixels = torch.randint(0, 256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
    device = choose_device(given.device)
    images = Images(pixels, torch.randint(0, 10, (count,), generator=generator)).to(device)

    def network() -> Classifier:
        model = {"name": "resnet18", "width": given.width, "groups": GROUPS[given.width]}
        return build(model, channels=3, classes=10, seed=1).to(device)

    some = images[torch.arange(given.batch, device=device)]
    loss, gradient = loss_and_gradient(network(), some, torch.float32)
    fast_loss, fast_gradient = loss_and_gradient(network(), some, precision)
    error = float((fast_gradient - gradient).norm() / gradient.norm())
    with FlopCounterMode(display=False) as counter:
        loss_and_gradient(network(), some, torch.float32)
    flops = counter.get_total_flops() / given.batch
    works = {
        "theirs": theirs(network(), images, given.batch, given.steps),
        "ours": ours(network(), images, given.batch, given.steps, precision),
    }
    if given.compile:
        works["compiled"] = ours(compiled(network()), images, given.batch, given.steps, precision)
        plain = compiled(network(), {"layout_optimization": False})
        works["compiled, layouts kept"] = ours(plain, images, given.batch, given.steps, precision)
    seconds = in_turn(works)
    peak, float_peak = gemm_peak(precision, device=device), gemm_peak(torch.float32, device=device)
    rate = {name: count / median(taken) for name, taken in seconds.items()}
    peaks = {given.precision: peak, "float32": float_peak}
    is_goal = given.width == 64 and given.precision == "bfloat16"
    lines = [
        Line("ours", rate["ours"], "images/s"),
        Line("theirs", rate["theirs"], "images/s"),
        Line("ours over theirs", rate["ours"] / rate["theirs"], "×", "≥ 2.0" if is_goal else ""),
        Line("ours, share of the peak", rate["ours"] * flops / peak / 1e9, "", "≥ 0.85" if is_goal else ""),
        Line("theirs, share of the float32 peak", rate["theirs"] * flops / float_peak / 1e9, ""),
        *(Line(f"{name} over ours", rate[name] / rate["ours"], "×") for name in works if "compiled" in name),
        *(Line(f"{kind} peak", value, "GFLOP/s") for kind, value in peaks.items()),
        Line("work", flops / 1e9, "GFLOP/image"),
        Line("difference of losses", abs(fast_loss - loss), ""),
        Line("difference of gradients", error, "of its length"),
    ]
    name = f"training-step-{given.width}-{given.precision}"
    name += f"-{given.device}" * (given.device != "cpu") + "-compile" * given.compile
    report(name, lines, {"seconds": seconds, "batch": given.batch, "steps": given.steps})


if __name__ == "__main__":
    main()
