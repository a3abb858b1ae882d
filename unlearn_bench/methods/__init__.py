"""Unlearning methods, one a file. A method is a function from an :class:`UnlearningProblem` to a classifier.

Its keyword-only arguments are its hyper-parameters. It may import data, models, training and numerics, but no metric
and no other method.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from unlearn_bench.core.registry import Entry, Registry
from unlearn_bench.data import Images
from unlearn_bench.data.batches import Batches, CropFlip, Normalise
from unlearn_bench.data.passed_images import InputCheck
from unlearn_bench.methods.recipe import Recipe
from unlearn_bench.models import Classifier
from unlearn_bench.models.outputs import Outputs, predict
from unlearn_bench.training.loop import Loss, cross_entropy, learning_rates, scheduled, train_epoch
from unlearn_bench.training.monitor import RunMonitor
from unlearn_bench.training.pass_counter import count_passes
from unlearn_bench.training.resume import Begun, SavedTraining

# The training data that a method declares, in the paper's symbols; it receives only these
TrainSet = Literal["D", "D_r", "D'_r", "D_f", "D'_r ∪ D_f", "none"]
PREPARED_WITH = 5000  # approximate number of images that :meth:`Classifier.prepare` receives


@dataclass(frozen=True)
class UnlearningProblem:
    """The input of a method. It contains neither the test set nor the images of D_r outside D'_r.

    Attributes:
        original: the original model θ_o, in evaluation mode; do not change it, see :meth:`copy_of_original`. For a
            method that trains from scratch, an untrained model.
        retain: D'_r, a random subset of D_r of the size of D_f, the same for every method of a configuration. Empty
            for a method that declares only D_f; all of D or D_r for the two methods that train from scratch.
        forget: D_f. Empty for a method that does not declare it.
        forget_classes: the classes whose samples are all forgotten; empty if the forget set is not made of classes.
        seed: of all random numbers of the method.
        normalise: converts uint8 pixels to the model's input.
        augment: augmentation of training images: ``none`` or ``crop_flip``.
        precision: of forward passes in training.
        held_out: the share that is missing from ``retain`` and ``forget`` in a tuning trial. Batches are smaller by
            this share, so that an epoch has as many steps as in the run without held-out images.
        forget_share: |D_f| / (|D_f| + |D_r|), above 0 and below 1.
        monitor: counters and curves of the run.
        inputs: compares the inputs of networks with the images of the problem; None for no comparison.
        saved: keeps the progress of :meth:`train`, from which an interrupted run goes on; None to keep none.
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
    forget_share: float = 0.5
    monitor: RunMonitor = field(default_factory=RunMonitor)
    inputs: InputCheck | None = None
    saved: SavedTraining | None = None

    def copy_of_original(self) -> Classifier:
        """Returns a copy of the original model to train, in training mode and with every parameter trainable."""
        return copy.deepcopy(self.original).train().requires_grad_(True)

    def retain_batches(self, batch_size: int) -> Batches:
        """Returns mini-batches of the retain data, shuffled, augmented and counted."""
        return self._batches(self.retain, batch_size, self.seed, CropFlip())

    def forget_batches(self, batch_size: int) -> Batches:
        """Returns mini-batches of the forget set, shuffled, augmented and counted."""
        return self._batches(self.forget, batch_size, self.seed + 1, CropFlip())

    def predict(self, network: Classifier, images: Images) -> Outputs:
        """Returns features and logits of ``images`` without augmentation, and counts the images as drawn samples.

        Raises:
            DivergedError: a feature or logit is not finite.
        """
        self.monitor.add_samples(len(images))
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
        saved: SavedTraining | None = None,
    ) -> Classifier:
        """Trains ``network`` in place for ``epochs`` passes over ``batches`` and returns it.

        The curve ``loss`` records the mean loss of each epoch.

        Args:
            network: only the optimizer's parameters change.
            batches: one iteration is one epoch.
            optimizer: of the parameters to train.
            epochs: at least 1.
            decay: factor of the learning rate after each epoch.
            warmup: share of the steps in which the learning rate rises before it falls; None for a constant rate, see
                :func:`unlearn_bench.training.loop.learning_rates`.
            loss: function from (network, x, y) to a scalar.
            saved: keeps the progress, for a ``loss`` without a state; None to keep none.

        Raises:
            DivergedError: an epoch's mean loss is not finite.
        """
        steps = len(batches)
        self.monitor.plan(epochs * steps)
        rates = [
            learning_rates(group["lr"], epochs=epochs, steps=steps, decay=decay, warmup=warmup)
            for group in optimizer.param_groups
        ]
        begun, keep = saved.begin(network, optimizer, batches) if saved else (Begun(), None)
        done = begun.epoch * steps + len(begun.losses)
        with scheduled(optimizer, [group[done:] for group in rates]):
            for epoch in range(begun.epoch, epochs):
                self._train_epoch(
                    network,
                    batches,
                    optimizer,
                    loss=loss,
                    curve="loss",
                    earlier=begun.losses if epoch == begun.epoch else (),
                    after_step=keep(epoch) if keep else None,
                )
        return network

    def train(self, recipe: Recipe) -> Classifier:
        """Returns a copy of the original model, here an untrained one, trained on the retain data by ``recipe``.

        :meth:`Classifier.prepare` receives evenly spaced images of the retain data before the first step.

        Raises:
            OptionError: options of the recipe exclude each other.
            DivergedError: an epoch's mean loss is not finite.
        """
        network = self.copy_of_original()
        if not network.is_pretrained:
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
            saved=self.saved,
        )

    def train_epoch(
        self,
        network: Classifier,
        batches: Iterable[tuple[Tensor, Tensor]],
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
        self._train_epoch(network, batches, optimizer, loss=loss, curve=curve, steps=steps)

    def _train_epoch(
        self,
        network: Classifier,
        batches: Iterable[tuple[Tensor, Tensor]],
        optimizer: torch.optim.Optimizer,
        *,
        loss: Loss,
        **options: Any,
    ) -> None:
        device = self.retain.labels.device.type
        autocast = torch.autocast(device, dtype=torch.bfloat16, enabled=self.precision == torch.bfloat16)
        train_epoch(network, batches, optimizer, loss, self.monitor, autocast, **options)

    def _batches(self, images: Images, batch_size: int, seed: int, crop_flip: CropFlip) -> Batches:
        steps = math.ceil(round(len(images) / (1 - self.held_out)) / batch_size)
        return Batches(
            images,
            batch_size=math.ceil(len(images) / steps) if self.held_out and steps else batch_size,
            seed=seed,
            normalise=self.normalise,
            augment=self.augment,
            drawn=self.monitor.add_samples,
            augmented=self.inputs.augmented if self.inputs else None,
            crop_flip=crop_flip,
        )


@dataclass(frozen=True)
class Method(Entry):
    """A registered method.

    Attributes:
        train_set: the training data that the method needs, in the paper's symbols.
        presets: named option sets, such as ``paper`` for the values that the paper prints.
        note: further information that ``explain`` prints, such as the source of the defaults.
        is_cheat: whether the method forgets nothing and only shows which metrics it passes.
        is_random: whether the result depends on the seed.
        trains: the parts whose weights the method changes (``head``, ``head.bias``, ``last_stage``); empty for all.
        redraws: the parts that the method replaces by new initial weights; ``everything`` for all.
        unresponsive: why the loss of D_f may not rise although the method uses D_f; empty if it rises.
        makes_inputs: whether the method makes inputs itself, such as noise, mixed or adversarial images. The inputs of
            networks are then not compared with the images of the problem, and every table has a note about it.
    """

    train_set: TrainSet
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    note: str = ""
    is_cheat: bool = False
    is_random: bool = True
    trains: tuple[str, ...] = ()
    redraws: tuple[str, ...] = ()
    unresponsive: str = ""
    makes_inputs: bool = False

    @property
    def from_scratch(self) -> bool:
        """Whether the method starts from an untrained model, as ``original`` and ``retrained`` do."""
        return self.train_set in ("D", "D_r")

    @property
    def uses_forget_set(self) -> bool:
        """Whether the weights depend on the forget set, as for every method except ``original``."""
        return self.train_set != "D"

    def unlearn(self, problem: UnlearningProblem, options: Mapping[str, Any]) -> Classifier:
        """Returns the method's result for a problem, and counts the images that pass through the original's copies.

        The global generator is seeded for methods that use it; its state is restored afterwards.
        """
        device = next(problem.original.parameters()).device
        count_passes(problem.original, problem.monitor)
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
    trains: tuple[str, ...] = (),
    redraws: tuple[str, ...] = (),
    unresponsive: str = "",
    makes_inputs: bool = False,
    version: int = 1,
) -> Callable[[Callable[..., Classifier]], Callable[..., Classifier]]:
    """Registers a method under its function's name; see :class:`Method` for the arguments."""

    def register(function: Callable[..., Classifier]) -> Callable[..., Classifier]:
        declared = (train_set, presets or {}, note, is_cheat, is_random, trains, redraws, unresponsive, makes_inputs)
        methods.add(Method(function.__name__, label, source, function, *declared, version=version))
        return function

    return register
