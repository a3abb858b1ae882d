"""Classifiers that return features and logits, one architecture a file."""

from __future__ import annotations

import copy
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from unlearn_bench.core.errors import OptionError
from unlearn_bench.core.options import complete
from unlearn_bench.core.registry import Entry, Registry
from unlearn_bench.core.spec import PRETRAINED
from unlearn_bench.data import passed_images as inputs

SEPARATOR = ":"  # in the name of a network that is not registered here, such as torchvision:resnet50
WEIGHTS = "weights"  # in a description: the digest of the weights of a user's original model
IDENTITY = (WEIGHTS, PRETRAINED)  # of a description: what identifies weights, and does not make the network
Statistics = tuple[tuple[float, ...], tuple[float, ...]]  # mean and standard deviation, one number per channel
DISTURBANCE = 1e-6  # relative, of each weight


class Classifier(nn.Module, ABC):
    """A network that ends in one linear layer, ``head``.

    Attributes:
        head: (d → K); ``features`` is its input, which the paper's metrics read.
        is_pretrained: whether its weights come from a file. Training then does not call :meth:`prepare`.
    """

    head: nn.Linear
    is_pretrained: bool = False

    def __init_subclass__(cls, **named: Any) -> None:
        """Wraps ``features`` of every architecture to report its inputs while they are watched."""
        super().__init_subclass__(**named)
        if "features" in cls.__dict__:
            cls.features = inputs.watched(cls.features)  # type: ignore[method-assign]

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Returns (N, d) float: the input of the last linear layer, for normalised images (N, C, H, W) float."""

    @property
    @abstractmethod
    def last_stage(self) -> nn.Module:
        """The last group of layers before the head (conv4 in the paper), which EU-k and CF-k train with the head."""

    @property
    def counted(self) -> nn.Module:
        """A module that runs once in each pass, whose passes are counted; by default the last stage."""
        return self.last_stage

    def statistics(self, mean: Sequence[float], std: Sequence[float]) -> Statistics:
        """Returns mean and standard deviation for normalisation; by default the data set's, which are the arguments."""
        return tuple(mean), tuple(std)

    @property
    def preparation(self) -> dict[str, Any]:
        """How the network prepares images, where it differs from the data set's; part of the identity of outputs."""
        return {}

    def forward(self, x: Tensor) -> Tensor:
        """Returns the logits, (N, K) float."""
        logits: Tensor = self.head(self.features(x))
        return logits

    def outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns features (N, d) and logits (N, K) by one pass, for normalised images (N, C, H, W) float."""
        features = self.features(x)
        return features, self.head(features)

    @contextmanager
    def whole(self) -> Iterator[nn.Module]:
        """Yields the network as its architecture makes it, whose names are those of the user's files."""
        yield self

    def own_state(self) -> dict[str, Tensor]:
        """Returns the weights and buffers under the names that the architecture itself gives them."""
        return self.state_dict()

    def prepare(self, x: Tensor) -> None:
        """Computes parts of the network from training images before the first training step; by default nothing.

        The results belong in buffers: checkpoints contain them, and optimizers do not change them.

        Args:
            x: (N, C, H, W) float, a sample of the training images, normalised, not augmented.
        """

    def reinitialise(self, part: nn.Module, seed: int) -> None:
        """Draws new initial parameters for ``part``, a module within this one, as for an untrained model.

        They depend only on ``seed``; the state of the global generator does not change.
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
        """Sets the initial parameters of ``part`` where the architecture does not use PyTorch's defaults."""


def draw_convolutions(part: nn.Module) -> None:
    """Draws the convolutions of ``part`` in place, as He et al. 2015: normal, variance 2 / fan out."""
    for module in part.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


models: Registry[Entry] = Registry("model", __name__)


def model(
    *, label: str, source: str, version: int = 1
) -> Callable[[Callable[..., Classifier]], Callable[..., Classifier]]:
    """Registers an architecture: a function from (channels, classes, *, parameters) to a :class:`Classifier`.

    Increase ``version`` with every change that changes weights or outputs, see
    :class:`unlearn_bench.core.registry.Entry`.
    """

    def register(function: Callable[..., Classifier]) -> Callable[..., Classifier]:
        models.add(Entry(function.__name__, label, source, function, version=version))
        return function

    return register


def complete_model(description: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a model's description with the values of all parameters.

    Args:
        description: ``name`` and any of the architecture's parameters; for a network that is not registered here, see
            :func:`unlearn_bench.models.sources.complete`. ``weights``, the digest of the weights of a user's
            original model, and ``pretrained_sha256``, that of a file of starting weights, are part of the run's
            identity only.

    Raises:
        UnknownNameError: there is no such architecture.
        OptionError: there is no name, a parameter is unknown, or a value is out of range.
    """
    parameters = dict(description)
    name = parameters.pop("name", None)
    if name is None:
        raise OptionError("The model has no name. Add one, such as {name: resnet18}.")
    if SEPARATOR in str(name):
        from unlearn_bench.models import sources

        return sources.complete(description)
    imported = {key: parameters.pop(key) for key in IDENTITY if key in parameters}
    return {"name": name, **complete(models.get(str(name)).function, parameters, f"model '{name}'"), **imported}


def describe(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the complete description of a network from its name and its arguments.

    Raises:
        UnknownNameError, OptionError: see :func:`complete_model`; also if an argument loads weights.
    """
    if WEIGHTS in arguments:
        raise OptionError(
            f"The argument weights={arguments[WEIGHTS]} asks for trained weights, and weights come from the files that "
            "you give. Leave it out."
        )
    return complete_model({**arguments, "name": name})


def build(
    description: Mapping[str, Any], *, channels: int, classes: int, seed: int, side: tuple[int, int] = (32, 32)
) -> Classifier:
    """Returns an untrained classifier whose initial weights depend only on ``seed``.

    Args:
        description: see :func:`complete_model`.
        channels, side: of the images, the latter as (height, width) in pixels; built-in models take any size.
        classes: K.
        seed: of the initial weights.

    Raises:
        UnknownNameError, OptionError: see :func:`complete_model`; also if an external network does not fit the images.
    """
    if SEPARATOR in str(description.get("name")):
        from unlearn_bench.models import sources

        return sources.build(description, channels=channels, classes=classes, seed=seed, side=side)
    parameters = complete_model(description)
    parameters = {key: value for key, value in parameters.items() if key not in IDENTITY}
    function = models.get(parameters.pop("name")).function
    with torch.random.fork_rng(devices=[]):  # initialisation uses the global generator, whose state must not change
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
    """Multiplies every parameter in place by 1 + 1e-6 · N(0, 1), about the effect of rounding on another processor.

    Args:
        network: any network; its buffers do not change.
        seed: of the noise, which is the same on every device.
    """
    generator = torch.Generator().manual_seed(seed)
    for _, parameter in sorted(network.named_parameters()):
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.copy_(parameter.double() * (1 + DISTURBANCE * noise.to(parameter.device)))
