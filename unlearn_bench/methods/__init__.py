"""Unlearning methods, one a file: a function from an :class:`UnlearningProblem` to a classifier.

Its keyword-only arguments ARE its hyper-parameters. It may import data, models, training and kernels; never a metric
and never another method.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from unlearn_bench.budget import count_passes
from unlearn_bench.data import Images
from unlearn_bench.data.batches import Batches, CropFlip, Normalise
from unlearn_bench.inputs import InputCheck
from unlearn_bench.journal import Journal
from unlearn_bench.models import Classifier
from unlearn_bench.outputs import Outputs, predict
from unlearn_bench.recipe import Recipe
from unlearn_bench.registry import Entry, Registry
from unlearn_bench.training import Loss, cross_entropy, learning_rates, scheduled, train_epoch

# The training data that a method declares to need, in the paper's symbols; it is given that and nothing else.
TrainSet = Literal["D", "D_r", "D'_r", "D_f", "D'_r ∪ D_f", "none"]
PREPARED_WITH = 5000  # images, about, from which a network computes what it needs of them before training


@dataclass(frozen=True)
class UnlearningProblem:
    """All that a method may see: neither the test set nor the rest of D_r is in it.

    Attributes:
        original: the original model θ_o, in evaluation mode, not to be changed (see :meth:`copy_of_original`). For a
            method that trains from scratch, an untrained one.
        retain: D'_r, a random subset of D_r of the size of D_f, the same for every method of a configuration. Empty
            for a method that declares to need D_f alone; all of D or D_r for the two that train from scratch.
        forget: D_f. Empty for a method that declares not to need it.
        forget_classes: the classes forgotten as a whole; empty where the forget set is no class.
        seed: of everything random in the method.
        normalise: uint8 pixels to the model's input.
        augment: what training does to images.
        precision: of forward passes in training.
        held_out: the share that is missing from ``retain`` and ``forget`` in a tuning trial: batches are made smaller
            by it, so that an epoch has as many steps as in the run that the trial stands for.
        journal: counts and curves.
        inputs: compares what passes networks with the images that are given; None where nothing is compared.
    """

    original: Classifier
    retain: Images
    forget: Images
    forget_classes: tuple[int, ...]
    seed: int
    normalise: Normalise
    augment: str = "none"
    precision: torch.dtype = torch.float32
    held_out: float = 0.0
    journal: Journal = field(default_factory=Journal)
    inputs: InputCheck | None = None

    def copy_of_original(self) -> Classifier:
        """Returns a copy of the original model that may be changed, in training mode, every parameter trainable."""
        return copy.deepcopy(self.original).train().requires_grad_(True)

    def retain_batches(self, batch_size: int) -> Batches:
        """Returns shuffled, augmented, counted mini-batches of the retain data."""
        return self._batches(self.retain, batch_size, self.seed, CropFlip())

    def forget_batches(self, batch_size: int) -> Batches:
        """Returns shuffled, augmented, counted mini-batches of the forget set."""
        return self._batches(self.forget, batch_size, self.seed + 1, CropFlip())

    def predict(self, network: Classifier, images: Images) -> Outputs:
        """Returns features and logits of ``images`` without augmentation, drawn as training samples are.

        Raises:
            DivergedError: a feature or logit is not finite.
        """
        self.journal.drew(len(images))
        return predict(network, images, self.normalise)

    def fit(
        self,
        network: Classifier,
        batches: Batches,
        optimizer: torch.optim.Optimizer,
        *,
        epochs: int,
        decay: float = 1.0,
        warmup: float | None = None,
        loss: Loss = cross_entropy,
    ) -> Classifier:
        """Returns ``network``, trained in place for ``epochs`` passes over ``batches``, the curve ``loss`` recorded.

        Args:
            network: the optimizer's parameters are trained, the others stay.
            batches: one iteration is one epoch.
            optimizer: of the parameters that may move.
            epochs: at least 1.
            decay: factor of the learning rate after each epoch.
            warmup: share of the steps in which the learning rate rises, to fall in the others; None for neither, see
                :func:`unlearn_bench.training.learning_rates`.
            loss: (network, x, y) to a scalar.

        Raises:
            DivergedError: an epoch's mean loss is not finite.
        """
        steps = len(batches)
        self.journal.plan(epochs * steps)
        rates = [
            learning_rates(group["lr"], epochs=epochs, steps=steps, decay=decay, warmup=warmup)
            for group in optimizer.param_groups
        ]
        with scheduled(optimizer, rates):
            for _ in range(epochs):
                self.train_epoch(network, batches, optimizer, loss=loss)
        return network

    def train(self, recipe: Recipe) -> Classifier:
        """Returns a copy of the original model, here an untrained one, trained on the retain data by ``recipe``.

        What the network needs to know of the images before the first step (:meth:`Classifier.prepare`) it computes from
        some of the retain data, evenly spaced, and from nothing else.

        Raises:
            OptionError: options of the recipe that exclude each other.
            DivergedError: an epoch's mean loss is not finite.
        """
        network = self.copy_of_original()
        sample = self.retain.pixels[:: max(1, len(self.retain) // PREPARED_WITH)]
        network.prepare(self.normalise(sample))
        return self.fit(
            network,
            self._batches(self.retain, recipe.batch_size, self.seed, recipe.crop_flip),
            recipe.make_optimizer(network),
            epochs=recipe.epochs,
            decay=recipe.decay,
            warmup=recipe.peak,
            loss=recipe.loss,
        )

    def train_epoch(
        self,
        network: Classifier,
        batches: Batches,
        optimizer: torch.optim.Optimizer,
        *,
        loss: Loss = cross_entropy,
        curve: str = "loss",
        steps: int | None = None,
    ) -> None:
        """Trains ``network`` in place for one pass over ``batches``, or over the first ``steps`` of them.

        Raises:
            DivergedError: the mean loss, recorded as ``curve``, is not finite.
        """
        device = self.retain.labels.device.type
        autocast = torch.autocast(device, dtype=torch.bfloat16, enabled=self.precision == torch.bfloat16)
        train_epoch(network, batches, optimizer, loss, self.journal, autocast, curve=curve, steps=steps)

    def _batches(self, images: Images, batch_size: int, seed: int, how: CropFlip) -> Batches:
        steps = math.ceil(round(len(images) / (1 - self.held_out)) / batch_size)
        return Batches(
            images,
            batch_size=math.ceil(len(images) / steps) if self.held_out and steps else batch_size,
            seed=seed,
            normalise=self.normalise,
            augment=self.augment,
            drawn=self.journal.drew,
            augmented=self.inputs.augmented if self.inputs else None,
            how=how,
        )


@dataclass(frozen=True)
class Method(Entry):
    """A registered method.

    Attributes:
        train_set: the data it needs, in the paper's symbols.
        presets: named option sets, such as ``paper`` for the values as printed.
        note: what ``explain`` adds: where the defaults come from.
        is_cheat: whether it forgets nothing and is there to show which metrics it passes.
        is_random: whether its result depends on the seed.
        moves: the parts whose weights may move, and do (``head``, ``head.bias``, ``last_stage``); empty for all.
        redraws: the parts drawn anew, of whose original weights nothing is left; ``everything`` for all.
        unresponsive: why the loss of D_f need not rise though the method sees D_f; empty where it does rise.
        makes_inputs: whether it passes inputs of its own through networks, such as noise images, mixed or adversarial
            ones. Its rows are then not compared with the images that it is given, and every table says so.
    """

    train_set: TrainSet
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    note: str = ""
    is_cheat: bool = False
    is_random: bool = True
    moves: tuple[str, ...] = ()
    redraws: tuple[str, ...] = ()
    unresponsive: str = ""
    makes_inputs: bool = False

    @property
    def from_scratch(self) -> bool:
        """Whether it starts from an untrained model: the original and the retrained one do."""
        return self.train_set in ("D", "D_r")

    @property
    def uses_forget_set(self) -> bool:
        """Whether its weights depend on the forget set: all but the original's do."""
        return self.train_set != "D"

    def unlearn(self, problem: UnlearningProblem, options: Mapping[str, Any]) -> Classifier:
        """Returns what the method makes of a problem; all that passes through a classifier is counted.

        The global generator is seeded for methods that draw from it, and left as it was.
        """
        device = next(problem.original.parameters()).device
        count_passes(problem.original, problem.journal)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(problem.seed)
            network: Classifier = self.function(problem, **options)
        return network


methods: Registry[Method] = Registry("method", __name__)


def method(
    *,
    label: str,
    source: str,
    train_set: TrainSet,
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    note: str = "",
    is_cheat: bool = False,
    is_random: bool = True,
    moves: tuple[str, ...] = (),
    redraws: tuple[str, ...] = (),
    unresponsive: str = "",
    makes_inputs: bool = False,
    version: int = 1,
) -> Callable[[Callable[..., Classifier]], Callable[..., Classifier]]:
    """Registers a method under its function's name; see :class:`Method` for what it states of itself."""

    def register(function: Callable[..., Classifier]) -> Callable[..., Classifier]:
        methods.add(
            Method(
                function.__name__,
                label,
                source,
                function,
                train_set,
                presets or {},
                note,
                is_cheat,
                is_random,
                moves,
                redraws,
                unresponsive,
                makes_inputs,
                version=version,
            )
        )
        return function

    return register
