"""Where methods are tried: a few real digits, and small networks trained on them."""

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
from unlearn_bench.data.settings import divide
from unlearn_bench.methods import Method, UnlearningProblem, methods
from unlearn_bench.models import Classifier, build
from unlearn_bench.training import cross_entropy

PER_CLASS = 24  # training images of each class
SEED = 3
EPOCHS = 20  # of the networks' training


class SmallBatchNorm(Classifier):
    """Two convolutions with BatchNorm, whose statistics move in training mode even where nothing is trained."""

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
class Scene:
    """Digits of scikit-learn, a few of each class, and networks trained on them.

    Attributes:
        device: of images and networks.
        per_class: training images of each class; None for all that there are, some 140.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    per_class: int | None = PER_CLASS

    @cached_property
    def large(self) -> Scene:
        """The same digits, all of them."""
        return Scene(self.device, per_class=None)

    @cached_property
    def dataset(self) -> Dataset:
        """The images."""
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
            method: it is given the network, or, where it trains from scratch, an untrained one.
            network: trained; the one with GroupNorm by default.
            forget: the classes forgotten.
            images: of D_f, and of D'_r.
            skip: how many images of ``forget`` and of ``retain`` to pass over, for another choice of them.
            seed: of the method.
            normalise: in place of the data set's own.
        """
        split = divide(self.dataset, "class", forget, {})
        train, (start_f, start_r) = self.dataset.train, ((skip or {}).get(part, 0) for part in ("forget", "retain"))
        chosen = split.forget[start_f : start_f + images]
        kept = torch.nonzero(~split.is_forget)[start_r : start_r + images, 0]
        nothing = train[torch.zeros(0, dtype=torch.int64)]
        start = network or self.group_norm
        if method.from_scratch:
            start = build({"name": "resnet18", "width": 4, "groups": 2}, channels=1, classes=10, seed=8)
        fresh = copy.deepcopy(start).to(self.device).eval().requires_grad_(False)
        return UnlearningProblem(
            original=fresh,
            retain=nothing if method.train_set in ("D_f", "none") else train[kept],
            forget=train[chosen] if "D_f" in method.train_set else nothing,
            forget_classes=split.classes,
            seed=seed,
            normalise=normalise or self.normalise,
            augment="crop_flip" if method.from_scratch else "none",  # which some options of a recipe are about
        )

    @property
    def normalise(self) -> Normalise:
        """Of the data set."""
        return Normalise(self.dataset.mean, self.dataset.std)

    def loss(self, network: Classifier, images: Images) -> float:
        """Returns the mean cross-entropy of ``images`` in evaluation mode."""
        network.eval()
        with torch.no_grad():
            return float(cross_entropy(network, self.normalise(images.pixels), images.labels))

    def _trained(self, network: Classifier) -> Classifier:
        nothing = self.dataset.train[torch.zeros(0, dtype=torch.int64)]
        problem = UnlearningProblem(network, self.dataset.train, nothing, (), seed=1, normalise=self.normalise)
        recipe = {
            "epochs": EPOCHS,
            "batch_size": 8,
            "lr": 0.1,
            "decay": 0.8,
            "weight_decay": 0.0,
        }  # ends with D_f fitted
        trained: Classifier = methods.get("original").function(problem, **recipe)
        return trained.eval()


def weights(network: nn.Module) -> Tensor:
    """Returns all weights and statistics of a network, one float64 vector."""
    return torch.cat([value.double().flatten().cpu() for value in network.state_dict().values()])
