"""Time and memory of every metric on request, on outputs of the size of CIFAR-10, against one inference pass.

    python benchmarks/requested_cost.py --threads 1

The features are drawn: ten Gaussian classes that overlap, rectified as those of a ResNet, 50,000 training and 10,000
test images with 512 features. The pass is timed on a part of the images, on the network of profile ``paper``, and
scaled to all. Each metric gets a new outputs object, so that it shares no work with another, and is timed once. Figures
are seconds of the processor, which another process on the same machine hardly changes; wall times are beside them.
"""

from __future__ import annotations

import argparse
import resource
import time

import torch
from measuring import Line, report

from unlearn_bench.data import Images
from unlearn_bench.data.batches import Normalise
from unlearn_bench.metrics import metrics
from unlearn_bench.models import build
from unlearn_bench.models.outputs import ModelOutputs, Outputs, predict

CLASSES, FEATURES = 10, 512


def drawn(images: int, centres: torch.Tensor, generator: torch.Generator, gain: float) -> Outputs:
    """Returns outputs of a model that is surer of its labels with a larger ``gain``."""
    labels = torch.arange(images) % CLASSES
    features = (centres[labels] + torch.randn(images, FEATURES, generator=generator)).relu_()
    logits = features @ centres.T / FEATURES**0.5 + torch.randn(images, CLASSES, generator=generator)
    logits[torch.arange(images), labels] += gain
    return Outputs(features, logits, labels)


def outputs_of(images: int) -> ModelOutputs:
    """Returns outputs of a class to forget, the second of ten, with a fifth as many test images."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, FEATURES, generator=generator) * 0.15
    train, test = (drawn(number, centres, generator, gain) for number, gain in ((images, 3.0), (images // 5, 1.0)))
    masks = [part.labels == 1 for part in (train, test)]
    return ModelOutputs(train.where(~masks[0]), train.where(masks[0]), test.where(~masks[1]), test.where(masks[1]))


def pass_seconds(images: int, sample: int) -> float:
    """Returns the time of one pass over ``images`` images of CIFAR-10's shape, estimated from ``sample`` of them."""
    network = build({"name": "resnet18", "width": 64, "groups": 32}, channels=3, classes=CLASSES, seed=0)
    pixels = torch.randint(0, 256, (sample, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    part = Images(pixels, torch.zeros(sample, dtype=torch.int64))
    normalise = Normalise((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    predict(network, part[torch.arange(64)], normalise)
    started = time.perf_counter()
    predict(network, part, normalise)
    return (time.perf_counter() - started) * images / sample


def main() -> None:
    """Measures one size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=50_000, help="training images; a fifth as many test images")
    parser.add_argument("--sample", type=int, default=512, help="images of the timed pass")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    outputs = outputs_of(given.images)
    parts = (outputs.retain, outputs.forget, outputs.test_retain, outputs.test_forget)
    seconds: dict[str, float] = {}
    cpu_seconds: dict[str, float] = {}
    peaks: dict[str, float] = {}
    for metric in metrics:
        if not metric.on_request:
            continue
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started, cpu = time.perf_counter(), time.process_time()
        value = metric.function(ModelOutputs(*parts))
        seconds[metric.name], cpu_seconds[metric.name] = time.perf_counter() - started, time.process_time() - cpu
        peaks[metric.name] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(f"{metric.name}: {value:.4g} in {cpu_seconds[metric.name]:.2f} s of the processor", flush=True)
    cpu = time.process_time()
    whole = pass_seconds(given.images * 6 // 5, given.sample)
    pass_cpu = (time.process_time() - cpu) * given.images * 6 / 5 / (given.sample + 64)
    total = sum(cpu_seconds.values())
    lines = [
        Line("one pass, estimated", pass_cpu, "s of the processor"),
        Line("all metrics on request", total, "s of the processor"),
        Line("all metrics on request over the pass", total / pass_cpu, "×", "≤ 0.3"),
        Line("rise of the peak memory, the largest of a metric", max(peaks.values()), "MiB", "≤ 500"),
        *(Line(f"of which {name}", taken, "s of the processor") for name, taken in cpu_seconds.items()),
    ]
    details = {"wall_seconds": seconds, "wall_seconds_of_pass": whole, "mebibytes": peaks, "images": given.images}
    report("requested-cost", lines, details)


if __name__ == "__main__":
    main()
