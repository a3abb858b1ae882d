"""The recipe of training from scratch, which ``original`` and ``retrained`` share, as data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch

from unlearn_bench.data.batches import CropFlip
from unlearn_bench.models import Classifier
from unlearn_bench.training.loop import Loss, OptimizerName, cross_entropy, make_optimizer

ScheduleName = Literal["constant", "triangular"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training recipe.

    Attributes:
        epochs: passes over the data.
        batch_size: images in a mini-batch.
        lr: learning rate; in the triangular schedule, its peak.
        decay: factor of the learning rate after each epoch, in both schedules.
        weight_decay: of all parameters, or only of those with at least 2 dimensions.
        optimizer, momentum, nesterov: momentum and Nesterov's step apply to SGD only.
        schedule, warmup: see :func:`unlearn_bench.training.loop.learning_rates`; ``constant`` applies only ``decay``.
        label_smoothing: see :func:`unlearn_bench.training.loop.cross_entropy`.
        decay_matrices_only: whether biases, scales and shifts have no weight decay.
        crop_flip: options of the augmentation, for data sets whose images are augmented.
    """

    epochs: int
    batch_size: int
    lr: float
    decay: float
    weight_decay: float
    optimizer: OptimizerName
    momentum: float
    nesterov: bool
    schedule: ScheduleName
    warmup: float
    label_smoothing: float
    decay_matrices_only: bool
    crop_flip: CropFlip

    def make_optimizer(self, network: Classifier) -> torch.optim.Optimizer:
        """Returns the optimizer of all parameters of ``network``.

        Raises:
            OptionError: see :func:`unlearn_bench.training.loop.make_optimizer`.
        """
        return make_optimizer(
            self.optimizer,
            network.parameters(),
            lr=self.lr,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            nesterov=self.nesterov,
            decay_matrices_only=self.decay_matrices_only,
        )

    @property
    def peak(self) -> float | None:
        """The share of the steps before the peak of the triangular schedule; None for the constant one."""
        return self.warmup if self.schedule == "triangular" else None

    @property
    def loss(self) -> Loss:
        """The cross-entropy with label smoothing."""
        return partial(cross_entropy, label_smoothing=self.label_smoothing)
