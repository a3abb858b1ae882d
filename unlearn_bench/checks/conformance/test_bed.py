"""Problems for the checks: a few real digits, and small networks trained on them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from unlearn_bench.data import Dataset, Images
from unlearn_bench.data.batches import Normalise
from unlearn_bench.data.loading import load
from unlearn_bench.data.scenarios import split_dataset
from unlearn_bench.methods import Method, UnlearningProblem, methods
from unlearn_bench.models import Classifier, build
from unlearn_bench.training.loop import cross_entropy

PER_CLASS = 24  # training images of each class
SEED = 3
EPOCHS = 20  # for training the networks


class SmallBatchNorm(Classifier):
    """Two convolutions with BatchNorm, whose statistics change in training mode even without an optimizer step."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.stage = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.head = nn.Linear(16, classes)

    @property
    def last_stage(self) -> nn.Module:
        """The second convolution."""
        return self.stage

    def features(self, x: Tensor) -> Tensor:
        """Returns (N, 16)."""
        return self.stage(self.stem(x)).mean(dim=(2, 3))


@dataclass(frozen=True)
class TestBed:
    """A few digits of each class from scikit-learn, and networks trained on them.

    Attributes:
        device: device of images and networks.
        per_class: training images per class; None for all, about 140.
    """

    __test__ = False  # pytest must not collect it

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    per_class: int | None = PER_CLASS

    @cached_property
    def large(self) -> TestBed:
        """The test bed with all training images."""
        return TestBed(self.device, per_class=None)

    @cached_property
    def dataset(self) -> Dataset:
        """The data set."""
        return load("digits", folder=Path(), train_per_class=self.per_class, test_per_class=8).to(self.device)

    @cached_property
    def group_norm(self) -> Classifier:
        """A trained ResNet-18 with GroupNorm."""
        network = build({"name": "resnet18", "width": 4, "groups": 2}, channels=1, classes=10, seed=7)
        return self._trained(network.to(self.device))

    @cached_property
    def batch_norm(self) -> Classifier:
        """A trained network with BatchNorm."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            network = SmallBatchNorm(1, 10)
        return self._trained(network.to(self.device))

    def problem(
        self,
        method: Method,
        *,
        network: Classifier | None = None,
        forget: str = "1",
        images: int = PER_CLASS // 2,
        skip: Mapping[str, int] | None = None,
        seed: int = SEED,
        normalise: Normalise | None = None,
    ) -> UnlearningProblem:
        """Returns a problem with the data that the method declares.

        Args:
            method: the method; if it trains from scratch, it gets an untrained network.
            network: the trained network that other methods get; by default the one with GroupNorm.
            forget: the classes to forget.
            images: number of images of D_f, and of D'_r.
            skip: number of images of ``forget`` and of ``retain`` to skip, which selects other images.
            seed: seed of the method.
            normalise: replaces the normalisation of the data set.
        """
        split = split_dataset(self.dataset, "class", forget, {})
        train, (start_f, start_r) = self.dataset.train, ((skip or {}).get(part, 0) for part in ("forget", "retain"))
        forgotten = split.forget[start_f : start_f + images]
        retained = torch.nonzero(~split.is_forget)[start_r : start_r + images, 0]
        nothing = train[torch.zeros(0, dtype=torch.int64)]
        start = network or self.group_norm
        if method.from_scratch:
            start = build({"name": "resnet18", "width": 4, "groups": 2}, channels=1, classes=10, seed=8)
        fresh = copy.deepcopy(start).to(self.device).eval().requires_grad_(False)
        return UnlearningProblem(
            original=fresh,
            retain=nothing if method.train_set in ("D_f", "none") else train[retained],
            forget=train[forgotten] if "D_f" in method.train_set else nothing,
            forget_classes=split.classes,
            seed=seed,
            normalise=normalise or self.normalise,
            forget_share=split.share,
            augment="crop_flip" if method.from_scratch else "none",  # some options act only on augmentation
        )

    @property
    def normalise(self) -> Normalise:
        """The normalisation of the data set."""
        return Normalise(self.dataset.mean, self.dataset.std)

    def loss(self, network: Classifier, images: Images) -> float:
        """Returns the mean cross-entropy of ``images`` in evaluation mode."""
        network.eval()
        with torch.no_grad():
            return float(cross_entropy(network, self.normalise(images.pixels), images.labels))

    def _trained(self, network: Classifier) -> Classifier:
        nothing = self.dataset.train[torch.zeros(0, dtype=torch.int64)]
        problem = UnlearningProblem(network, self.dataset.train, nothing, (), seed=1, normalise=self.normalise)
        # a recipe that ends with all images fitted
        recipe = {"epochs": EPOCHS, "batch_size": 8, "lr": 0.1, "decay": 0.8, "weight_decay": 0.0}
        trained: Classifier = methods.get("original").function(problem, **recipe)
        return trained.eval()


def weights(network: nn.Module) -> Tensor:
    """Returns all weights and statistics of a network as one float64 vector."""
    return torch.cat([value.double().flatten().cpu() for value in network.state_dict().values()])
