"""Estimates the memory of training before anything is trained: the system kills a process that takes too much."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from unlearn_bench.core.errors import DataError, OptionError
from unlearn_bench.core.memory import available_memory, in_gib
from unlearn_bench.data import Dataset
from unlearn_bench.data.batches import Normalise
from unlearn_bench.models import Classifier, build
from unlearn_bench.models.outputs import BATCH
from unlearn_bench.running.tasks import Task

PROBE = 64  # largest side in pixels of the images of the estimate; memory is proportional to the number of pixels
FLOAT_BYTES = {"float32": 1.0, "bfloat16": 0.5}  # of an activation, relative to float32


@dataclass(frozen=True)
class Activations:
    """The memory of a network's activations, in bytes for each image in float32.

    Attributes:
        training: kept for the gradients of one step, and three times the largest layer for what is freed during it;
            measured with ResNet-18, that is up to a tenth less than a step takes.
        evaluation: twice the largest layer: its input and output, and what its computation needs.
    """

    training: float
    evaluation: float


def choose_workers(tasks: Sequence[Task], dataset: Dataset, device: torch.device, workers: int | None) -> int:
    """Returns how many runs are made at the same time: ``workers``, else as many as cores and memory allow.

    Args:
        tasks: the runs to make, at least one.
        dataset: their data set.
        device: their device.
        workers: the user's choice; None for the number of cores on a CPU, else 1.

    Raises:
        DataError: not even one run fits into the available memory, according to the estimate.
        OptionError: ``workers`` runs do not fit.
    """
    wanted = min(workers or (available_cores() if device.type == "cpu" else 1), len(tasks))
    needed, available = _needed(tasks, dataset), _available(device)
    if needed is None or available is None:
        return wanted
    if needed > available:
        height, width = dataset.train.pixels.shape[2:]
        experiment = tasks[0].spec.experiment
        sizes = "Give --size, such as --size 64, for smaller images, or lower" if ":" in experiment.dataset else "Lower"
        raise DataError(
            f"{experiment.model['name']} needs about {in_gib(needed)} of memory for {_batch(tasks, dataset)} images of "
            f"{width}×{height} pixels in a batch, and {in_gib(available)} are available. {sizes} batch_size, in the "
            "recipe of benchmarks.yaml for references or with --set for a method."
        )
    copies = dataset.train.pixels.nbytes + dataset.test.pixels.nbytes  # each worker has the images
    fitting = max(1, int(available // (needed + copies)))
    if workers is not None and wanted > fitting:
        raise OptionError(
            f"--workers {workers}: {wanted} runs at the same time need about {in_gib(wanted * (needed + copies))} of "
            f"memory, and {in_gib(available)} are available. Give --workers {fitting}."
        )
    return min(wanted, fitting)


def activations(model: dict[str, Any], channels: int, height: int, width: int, classes: int) -> Activations | None:
    """Returns the memory of a network's activations, measured on two images; None if the network cannot be built.

    The two images are small ones where the network takes any size: memory is proportional to the number of pixels.

    Args:
        model: description of the architecture.
        channels, height, width: of the images.
        classes: number of classes.
    """
    small = (min(height, PROBE), min(width, PROBE))
    for side in dict.fromkeys((small, (height, width))):
        measured = _measured(model, channels, side, classes)
        if measured is not None:
            network, per_image = measured
            is_resized = network.preparation.get("input_size") is not None  # then every image has the same cost
            scale = 1.0 if is_resized else height * width / (side[0] * side[1])
            return Activations(training=per_image.training * scale, evaluation=per_image.evaluation * scale)
    return None


def _measured(
    model: dict[str, Any], channels: int, side: tuple[int, int], classes: int
) -> tuple[Classifier, Activations] | None:
    """Returns a network and the memory of its activations for an image of a size; None if it does not take this size.

    Args:
        model, channels, classes: see :func:`activations`.
        side: height and width of the images in pixels.
    """
    kept: dict[int, torch.UntypedStorage] = {}
    largest = 0

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage  # held, so that no other tensor gets its address
        return tensor

    def watch(_module: Any, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal largest
        largest = max(largest, sum(part.nbytes for part in (*inputs, output) if isinstance(part, torch.Tensor)))

    with torch.random.fork_rng(devices=[]):  # dropout draws from the global generator
        try:
            network = build(model, channels=channels, classes=classes, seed=0, side=side).train()
            normalise = Normalise(*network.statistics((0.0,) * channels, (1.0,) * channels))
            handles = [module.register_forward_hook(watch) for module in network.modules()]
            with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
                logits = network(normalise(torch.zeros(2, channels, *side, dtype=torch.uint8)))
                F.cross_entropy(logits, torch.zeros(2, dtype=torch.int64))
        except Exception:  # an architecture of the user may refuse images in any way
            return None
    for handle in handles:
        handle.remove()
    own = {tensor.untyped_storage().data_ptr() for tensor in network.state_dict().values()}
    saved = sum(storage.nbytes() for address, storage in kept.items() if address not in own)
    return network, Activations(training=(saved + 3 * largest) / 2, evaluation=largest)


def _needed(tasks: Sequence[Task], dataset: Dataset) -> float | None:
    experiment = tasks[0].spec.experiment
    _, channels, height, width = dataset.train.pixels.shape
    per_image = activations(experiment.model, channels, height, width, len(dataset.classes))
    if per_image is None:
        return None
    training = per_image.training * _batch(tasks, dataset) * FLOAT_BYTES[experiment.precision]
    return max(training, per_image.evaluation * min(BATCH, max(len(dataset.train), len(dataset.test))))


def _batch(tasks: Sequence[Task], dataset: Dataset) -> int:
    """Returns the largest batch of these runs, in images."""
    sizes = [task.spec.options.get("batch_size") for task in tasks]
    return min(len(dataset.train), max((size for size in sizes if isinstance(size, int)), default=1))


def _available(device: torch.device) -> int | None:
    if device.type != "cuda":
        return available_memory()
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def available_cores() -> int:
    """Returns the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # the cores of this process; a container may limit them
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
