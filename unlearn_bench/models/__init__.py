"""Classifiers whose features can be asked for, one architecture a file."""

from __future__ import annotations

import copy
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from unlearn_bench import inputs
from unlearn_bench.errors import OptionError
from unlearn_bench.options import complete
from unlearn_bench.registry import Entry, Registry

DISTURBANCE = 1e-6  # relative, of each weight


class Classifier(nn.Module, ABC):
    """A network that ends in one linear layer, ``head``.

    Attributes:
        head: (d → K); ``features`` is its input, the quantity that the paper's metrics read.
    """

    head: nn.Linear

    def __init_subclass__(cls, **named: Any) -> None:
        """Has the features of every architecture tell of their inputs where these are watched."""
        super().__init_subclass__(**named)
        if "features" in cls.__dict__:
            cls.features = inputs.watched(cls.features)  # type: ignore[method-assign]

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Returns (N, d) float: the input of the last linear layer, for normalised images (N, C, H, W) float."""

    @property
    @abstractmethod
    def last_stage(self) -> nn.Module:
        """The last group of layers before the head (conv4 in the paper): what EU-k and CF-k train besides the head."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns the logits, (N, K) float."""
        logits: Tensor = self.head(self.features(x))
        return logits

    def prepare(self, x: Tensor) -> None:
        """Computes what follows from the training images alone, before the first step of training; by default nothing.

        What it computes belongs in buffers: checkpoints carry them, and no optimizer moves them.

        Args:
            x: (N, C, H, W) float, a sample of the images that the model is trained on, normalised, not augmented.
        """

    def reinitialise(self, part: nn.Module, seed: int) -> None:
        """Draws the parameters of ``part`` (a module within this one) anew, as those of an untrained model are drawn.

        What is drawn follows from ``seed`` alone; the global generator is left as it was.
        """
        fresh = copy.deepcopy(part).cpu()  # drawn on the CPU, so that a GPU starts from the same weights
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for module in fresh.modules():
                reset = getattr(module, "reset_parameters", None)
                if callable(reset):
                    reset()
            self.initialise(fresh)
        part.load_state_dict(fresh.state_dict())

    @staticmethod
    def initialise(part: nn.Module) -> None:
        """Gives ``part`` the architecture's own initial parameters where they are not PyTorch's usual ones."""


def draw_convolutions(part: nn.Module) -> None:
    """Draws the convolutions of ``part`` in place from He et al. 2015: normal, variance 2 / fan out."""
    for module in part.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


models: Registry[Entry] = Registry("model", __name__)


def model(*, label: str, source: str) -> Callable[[Callable[..., Classifier]], Callable[..., Classifier]]:
    """Registers an architecture: a function (channels, classes, *, parameters) to a :class:`Classifier`."""

    def register(function: Callable[..., Classifier]) -> Callable[..., Classifier]:
        models.add(Entry(function.__name__, label, source, function))
        return function

    return register


def complete_model(description: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a model's description with every parameter stated.

    Args:
        description: ``name`` and any of the architecture's parameters.

    Raises:
        UnknownNameError: no such architecture.
        OptionError: no name, an unknown parameter or a value out of range.
    """
    parameters = dict(description)
    name = parameters.pop("name", None)
    if name is None:
        raise OptionError("The model has no name. Give it one, such as {name: resnet18}.")
    return {"name": name, **complete(models.get(str(name)).function, parameters, f"model '{name}'")}


def build(description: Mapping[str, Any], *, channels: int, classes: int, seed: int) -> Classifier:
    """Returns an untrained classifier whose initial weights follow from ``seed`` alone.

    Raises:
        UnknownNameError, OptionError: see :func:`complete_model`.
    """
    parameters = complete_model(description)
    function = models.get(parameters.pop("name")).function
    with torch.random.fork_rng(devices=[]):  # initialisation draws from the global generator; leave it as it was
        torch.manual_seed(seed)
        network: Classifier = function(channels, classes, **parameters)
    return network


def weights_digest(network: nn.Module) -> str:
    """Returns the SHA-256 of a network's parameters and buffers: names, shapes, types and bytes."""
    content = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        content.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        content.update(value.detach().cpu().contiguous().numpy().tobytes())
    return content.hexdigest()


@torch.no_grad()
def disturb(network: nn.Module, seed: int) -> None:
    """Multiplies every parameter by 1 + 1e-6 · N(0, 1), in place: about what rounding on another processor does.

    Args:
        network: any; its buffers stay.
        seed: of the noise; the same noise on every device.
    """
    generator = torch.Generator().manual_seed(seed)
    for _, parameter in sorted(network.named_parameters()):
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.copy_(parameter.double() * (1 + DISTURBANCE * noise.to(parameter.device)))
