"""UNSIR: learned noise, which the original cannot assign to a class, is trained in under that class's label."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from unlearn_bench.core.errors import DataError
from unlearn_bench.core.options import Search
from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import LearningRate
from unlearn_bench.models import Classifier
from unlearn_bench.training.loop import make_optimizer


@method(
    label="UNSIR",
    source="Tarun et al. 2023 (Fast Yet Effective Machine Unlearning), its code, and that of Foster et al. 2024",
    train_set="D'_r",
    makes_inputs=True,
    presets={
        "authors": {
            **{"noise_batch_size": 256, "iterations": 40, "noise_batches": 20, "images_per_class": 1000},
            **{"lr": 0.02, "repair_lr": 0.01, "batch_size": 256},
        }
    },
    note=(
        "The defaults are those of Foster et al. (if-loops/selective-synaptic-dampening); the preset authors has those "
        "of the authors' notebook for CIFAR-10. The method reads no image of D_f, only its class. The noise is in "
        "normalised inputs and is not clamped to the range of images. For more than one forgotten class, each has its "
        "own noise, as in the authors' code; that code then gives all of them one label, and here each keeps its own."
    ),
)
def unsir(
    problem: UnlearningProblem,
    *,
    lr: LearningRate = 1e-4,
    noise_batch_size: Annotated[
        int,
        Field(ge=1, le=65_536, description="noise images of each forgotten class, and images in a batch with noise"),
    ] = 32,
    iterations: Annotated[int, Field(ge=1, le=10_000, description="steps that train the noise")] = 25,
    noise_lr: Annotated[float, Field(gt=0, le=10, description="learning rate of the noise")] = 0.1,
    noise_weight: Annotated[float, Field(ge=0, le=100, description="weight of the squared norm of the noise")] = 0.1,
    noise_batches: Annotated[
        int,
        Field(ge=1, le=10_000, description="batches of noise for each forgotten class, if no class lacks images"),
        Search(10, 300, log=True),
    ] = 80,
    images_per_class: Annotated[
        int, Field(ge=1, le=1_000_000, description="most images of each retained class that are used")
    ] = 500,
    repair_lr: Annotated[
        float, Field(gt=0, le=10, description="learning rate of the repair"), Search(1e-5, 0.1, log=True)
    ] = 1e-4,
    batch_size: Annotated[int, Field(ge=1, le=65_536, description="images in a mini-batch of the repair")] = 128,
) -> Classifier:
    """The original model after an epoch on noise of the forgotten classes and on D'_r, and one on D'_r alone.

    For each forgotten class f, ``noise_batch_size`` noise images n ~ N(0, 1) are trained by Adam to minimise
    −CE(f₀(n), f) + w·mean ‖n‖², where f₀ is the original model in evaluation mode, which does not change. The first
    epoch (impair) has batches of noise with the label f and of images of D'_r, shuffled together; the second one
    (repair) has those images only. Each epoch has its own Adam. The images are augmented once, for both epochs.

    Adapted: as published, there are ``images_per_class`` images of each retained class, which is more than D'_r may
    have. Noise is scaled with it: of ``noise_batches``·``noise_batch_size`` copies of noise for each forgotten class,
    the same share is used as D'_r has of ``images_per_class`` images of every retained class, at least one.

    Raises:
        DataError: the forget set does not consist of whole classes.
    """
    if not problem.forget_classes:
        raise DataError("The method 'unsir' needs a forget set of whole classes. Use the scenario 'class'.")
    network = problem.copy_of_original()
    generator = torch.Generator().manual_seed(problem.seed + 2)
    x, y = _retained(problem, batch_size, images_per_class)
    everything = images_per_class * (network.head.out_features - len(problem.forget_classes))
    copies = max(1, round(noise_batches * noise_batch_size * len(x) / everything))
    noises, labels = [], []
    problem.monitor.plan(iterations * len(problem.forget_classes))
    for label in problem.forget_classes:
        noise = torch.randn(noise_batch_size, *x.shape[1:], generator=generator).to(x.device)
        _train_noise(problem, noise, label, steps=iterations, lr=noise_lr, weight=noise_weight)
        noises.append(noise[torch.arange(copies, device=x.device) % noise_batch_size])
        labels.append(torch.full((copies,), label, device=x.device))
    problem.monitor.add_samples(copies * len(noises))
    mixed = torch.cat([*noises, x]), torch.cat([*labels, y])
    _epoch(problem, network, mixed, noise_batch_size, lr, generator, "impair_loss")
    problem.monitor.add_samples(len(x))
    _epoch(problem, network, (x, y), batch_size, repair_lr, generator, "repair_loss")
    return network


def _retained(problem: UnlearningProblem, batch_size: int, most: int) -> tuple[Tensor, Tensor]:
    """Returns the inputs and labels of D'_r, augmented once and shuffled, with at most so many images of each class."""
    batches = list(problem.retain_batches(batch_size))
    x, y = torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])
    number_in_class = F.one_hot(y).cumsum(dim=0).gather(1, y[:, None])[:, 0]  # (n,), counted from 1
    return x[number_in_class <= most], y[number_in_class <= most]


def _train_noise(
    problem: UnlearningProblem, noise: Tensor, label: int, *, steps: int, lr: float, weight: float
) -> None:
    """Trains ``noise``, (B, C, H, W) normalised inputs, in place to raise the original's cross-entropy of a label."""
    variable = noise.requires_grad_(True)
    optimizer = torch.optim.Adam([variable], lr=lr)
    labels = torch.full((len(noise),), label, device=noise.device)
    losses = []
    for _ in range(steps):
        size = variable.square().sum(dim=(1, 2, 3)).mean()
        loss = weight * size - F.cross_entropy(problem.original(variable).float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
        problem.monitor.add_samples(len(noise))
        problem.monitor.step()
    problem.monitor.record("noise_loss", float(torch.stack(losses).mean()))
    noise.requires_grad_(False)


def _epoch(
    problem: UnlearningProblem,
    network: Classifier,
    samples: tuple[Tensor, Tensor],
    batch_size: int,
    lr: float,
    generator: torch.Generator,
    curve: str,
) -> None:
    """Trains ``network`` in place for one epoch of Adam on inputs and labels in random order."""
    x, y = samples
    parts = torch.randperm(len(y), generator=generator).to(y.device).split(batch_size)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for part in parts:
            yield x[part], y[part]

    problem.monitor.plan(len(parts))
    optimizer = make_optimizer("adam", network.parameters(), lr=lr)
    problem.train_epoch(network, batches(), optimizer, curve=curve)
