"""The recipe of training from scratch: the one list of the options that ``original`` and ``retrained`` have."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, get_type_hints

import torch

from unlearn_bench.data.batches import PADDING, CropFlip
from unlearn_bench.methods.hyperparameters import (
    BatchSize,
    CropFill,
    CropPadding,
    Decay,
    DecayMatricesOnly,
    Epochs,
    FlipKind,
    LabelSmoothing,
    LearningRate,
    Momentum,
    Nesterov,
    Optimizer,
    Schedule,
    Warmup,
    WeightDecay,
)
from unlearn_bench.models import Classifier
from unlearn_bench.training.loop import Loss, cross_entropy, make_optimizer

if TYPE_CHECKING:
    from unlearn_bench.methods import UnlearningProblem


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training recipe. Its fields are options of the methods that train from scratch; the defaults are the paper's.

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
        crop_padding, crop_fill, flip: see :class:`unlearn_bench.data.batches.CropFlip`, for data sets whose images are
            augmented.
    """

    epochs: Epochs = 100
    batch_size: BatchSize = 64
    lr: LearningRate = 0.1
    decay: Decay = 0.998
    weight_decay: WeightDecay = 1e-3
    optimizer: Optimizer = "sgd"
    momentum: Momentum = 0.0
    nesterov: Nesterov = False
    schedule: Schedule = "constant"
    warmup: Warmup = 0.2
    label_smoothing: LabelSmoothing = 0.0
    decay_matrices_only: DecayMatricesOnly = False
    crop_padding: CropPadding = PADDING
    crop_fill: CropFill = "zeros"
    flip: FlipKind = "random"

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

    @property
    def crop_flip(self) -> CropFlip:
        """The options of the augmentation."""
        return CropFlip(self.crop_padding, self.crop_fill, self.flip)


def with_recipe(train: Callable[[UnlearningProblem, Recipe], Classifier]) -> Callable[..., Classifier]:
    """Returns ``train`` as a method: its options are the fields of :class:`Recipe`, which it gets as one recipe."""

    @wraps(train)
    def function(problem: UnlearningProblem, **options: Any) -> Classifier:
        return train(problem, Recipe(**options))

    # from these, `core/options.py` reads names, defaults, types, ranges and help
    hints = get_type_hints(Recipe, include_extras=True)
    named = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(Recipe)
    ]
    problem = inspect.Parameter("problem", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    function.__signature__ = inspect.Signature([problem, *named])  # type: ignore[attr-defined]
    function.__annotations__ = hints
    return function
