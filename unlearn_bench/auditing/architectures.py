"""The network of an audit, with the description of its features and of its preprocessing for the report."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from unlearn_bench.data import Dataset
from unlearn_bench.data.batches import Normalise
from unlearn_bench.models import SEPARATOR, build, describe
from unlearn_bench.models.external import External, Observed
from unlearn_bench.models.parts import AUDIT, IN_MEMORY, Advice
from unlearn_bench.models.preparation import Choices, example_inputs, for_channels, normalises_itself
from unlearn_bench.models.sources import make_module, wrap

Numbers = tuple[float, ...]  # one for each channel


class Network:
    """A network with its preprocessing: maps uint8 pixels to features and logits.

    Attributes:
        classifier: the network, in evaluation mode; its own weights are to be read and replaced.
        normalise: converts uint8 pixels to its inputs.
        size: side in pixels to which images are resized before they enter the network; None if they keep their size.
        preprocessing: a description of the preprocessing.
    """

    def __init__(self, classifier: External | Observed, name: str, dataset: Dataset, choices: Choices) -> None:
        """Takes the network, its name, the images, and what the user said about the network."""
        self.classifier, self.size, self._grey = classifier, choices.size, dataset.channels == 1
        self._channels = classifier.channels
        kind, (mean, std) = _normalisation(name, choices.normalise, classifier, dataset)
        self.normalise_by(kind, mean, std)

    def normalise_by(self, kind: str, mean: Numbers, std: Numbers) -> None:
        """Normalises images by these numbers, which ``kind`` describes."""
        if self._channels == 1:  # numbers of colours, as timm takes them for one channel
            mean, std = for_channels((mean, std), 1)
        self.normalise = Normalise(*for_channels((mean, std), self._channels))
        steps = [f"grey repeated to {self._channels} channels"] if self._grey and self._channels > 1 else []
        steps += [f"resized to {self.size}×{self.size} pixels"] if self.size else []
        steps += [f"normalised by {kind} (mean {_numbers(mean)}, deviation {_numbers(std)})"]
        self.preprocessing = ", ".join(steps)

    @property
    def head(self) -> str:
        """Name of the layer that makes the logits; empty if the user named the features."""
        return self.classifier.head_name if isinstance(self.classifier, External) else ""

    @property
    def features(self) -> str:
        """A description of the features."""
        if isinstance(self.classifier, External):
            return (
                f"input of {self.head} ({self.classifier.head.in_features} numbers), the layer that makes the logits; "
                "found automatically"
            )
        found = self.classifier
        pooling = f", {found.pooling}" if found.pooling else ""
        return f"outputs of {found.module_name} ({found.width} numbers{pooling}); named by you"

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(parameter.numel() for parameter in self.classifier.parameters())

    def __call__(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Returns features (N, d) and logits (N, K) of pixels (N, C, H, W) uint8."""
        return self.classifier.outputs(self.normalise(pixels))


def make_network(
    name: str, options: Mapping[str, Any], dataset: Dataset, features: str | None, size: int | None, normalise: str
) -> Network:
    """Returns an untrained network of an architecture, on the device of the images and with one logit per class.

    Args:
        name: ``torchvision:NAME``, ``timm:NAME``, ``module:function``, ``file.py:function``, or a registered model.
        options: arguments of the architecture; they override the number of classes.
        dataset: the images.
        features, size, normalise: see :class:`unlearn_bench.models.preparation.Choices`.

    Raises:
        OptionError, UnknownNameError: the architecture, module or normalisation does not exist, or the architecture
            does not accept the images.
    """
    choices = Choices(size=size, normalise=normalise, features=features)
    classes = len(dataset.classes)

    def make() -> nn.Module:
        if SEPARATOR in name:
            return make_module(describe(name, options), classes)
        return build(describe(name, options), channels=dataset.channels, classes=classes, seed=0)

    return _wrapped(make(), make, name, dataset, choices, AUDIT)


def network_of(module: nn.Module, dataset: Dataset, features: str | None, size: int | None, normalise: str) -> Network:
    """Returns the same for a copy of a network in memory."""
    choices = Choices(size=size, normalise=normalise, features=features)
    copied = copy.deepcopy(module)
    return _wrapped(copied, lambda: copied, "", dataset, choices, IN_MEMORY)  # no weights are drawn anew


def _wrapped(
    module: nn.Module, make: Callable[[], nn.Module], name: str, dataset: Dataset, choices: Choices, advice: Advice
) -> Network:
    classifier = wrap(
        module.to(dataset.train.pixels.device),
        make,
        name=name,
        channels=dataset.channels,
        side=dataset.side,
        classes=len(dataset.classes),
        choices=choices,
        advice=advice,
    )
    if dataset.train.pixels.device.type == "cpu":
        _use_channels_last(classifier.eval(), dataset.side)
    return Network(classifier.eval(), name, dataset, choices)


@torch.no_grad()
def _use_channels_last(classifier: External | Observed, side: tuple[int, int]) -> None:
    """Stores the weights in the layout in which a CPU convolves fastest, if the network returns the same with it.

    A transformer, whose only convolution cuts the image into patches, keeps its layout: it would gain nothing.
    """
    if sum(isinstance(part, nn.Conv2d) for part in classifier.modules()) < 2:
        return
    x = example_inputs((2, classifier.channels, *side))
    expected = classifier(x)
    try:
        classifier.to(memory_format=torch.channels_last)
        if torch.allclose(classifier(x), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max())):
            return
    except Exception:  # code of others can raise anything, such as a `view` of another layout
        pass
    classifier.to(memory_format=torch.contiguous_format)


def _normalisation(
    name: str, normalise: str, network: External | Observed, dataset: Dataset
) -> tuple[str, tuple[Numbers, Numbers]]:
    """Returns a description of the normalisation, and its mean and standard deviation per channel."""
    numbers = network.own_statistics
    if numbers is None:
        return "the training images' numbers", (dataset.mean, dataset.std)
    if normalise == "none":
        return "nothing: pixels from 0 to 1", numbers
    if normalise == "auto" and normalises_itself(network):
        return "nothing outside: the network normalises its inputs itself", numbers
    is_imagenet = normalise == "imagenet" or name.startswith("torchvision:")
    return "ImageNet's numbers" if is_imagenet else "the architecture's own numbers", numbers


def _numbers(values: Numbers) -> str:
    return " ".join(f"{value:.3g}" for value in values)
