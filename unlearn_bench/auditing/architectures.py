"""Gives a network its preprocessing, and reads its features while it runs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from unlearn_bench.core.errors import OptionError, did_you_mean, reason_of, unknown_name
from unlearn_bench.core.sources import LARGEST_SIZE
from unlearn_bench.data import Dataset
from unlearn_bench.data.batches import Normalise
from unlearn_bench.models import SEPARATOR, build, describe
from unlearn_bench.models.external import logits_of
from unlearn_bench.models.sources import IMAGENET, NORMALISATIONS, make_module, normalises_itself, statistics_of

Numbers = tuple[float, ...]  # one for each channel


class Network:
    """A network with its preprocessing: maps uint8 pixels to features and logits.

    Attributes:
        module: the network, in evaluation mode.
        head: name of the layer that makes the logits; empty if the user named the features.
        features: a description of the features.
        size: side in pixels to which images are resized; None if they keep their size.
        preprocessing: a description of the preprocessing.
    """

    def __init__(
        self,
        module: nn.Module,
        preparation: Callable[[str, Numbers, Numbers], tuple[Callable[[Tensor], Tensor], str]],
        features: str | None,
        size: int | None = None,
    ) -> None:
        self.module, self._preparation, self.size = module.eval(), preparation, size
        self.head = ""
        self.features = ""
        self._seen: list[Tensor] = []
        self._features_module = features

    def normalise_by(self, kind: str, mean: Numbers, std: Numbers) -> None:
        """Normalises images by these numbers, which ``kind`` describes."""
        self._prepare, self.preprocessing = self._preparation(kind, mean, std)

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    def __call__(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Returns features (N, d) and logits (N, K) of pixels (N, C, H, W) uint8."""
        self._seen.clear()
        logits = logits_of(self.module(self._prepare(pixels)))
        return self._seen[-1], logits

    def attach(self, pixels: Tensor, classes: int) -> None:
        """Finds the module of the features by one pass over some pixels (N, C, H, W) uint8.

        Raises:
            OptionError: the network does not accept these images or returns no (N, K) logits, the named module does
                not exist or does not run, or no layer can be identified that makes the logits.
        """
        inputs = self._prepare(pixels)
        ran: list[tuple[str, nn.Module, Tensor, Tensor]] = []
        hooks = [
            part.register_forward_hook(
                lambda part, args, out, name=name: ran.append((name, part, args[0] if args else out, out))
            )
            for name, part in self.module.named_modules()
            if name
        ]
        try:
            logits = logits_of(self.module(inputs))
        except Exception as problem:  # code of others can raise anything
            channels = _input_channels(self.module)
            if channels is not None and channels != inputs.shape[1]:
                raise OptionError(
                    f"The architecture takes images of {_counted(channels)}, and these have "
                    f"{_counted(inputs.shape[1])}. Convert the images with --grey, or set the channels of the "
                    "architecture with --argument, such as --argument in_chans=3."
                ) from None
            shape = "×".join(str(side) for side in inputs.shape[1:])
            raise OptionError(
                f"The architecture does not accept images of {shape}: {reason_of(problem)}. Give --size, such as "
                "--size 224."
            ) from None
        finally:
            for hook in hooks:
                hook.remove()
        if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[1] < classes:
            shown = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise OptionError(
                f"The architecture returns {shown}, expected logits (N, {classes}): one column per class."
            )
        if self._features_module is not None:
            self._read_outputs(self._features_module, ran)
        else:
            self._read_head(ran, logits)

    def _read_head(self, ran: list[tuple[str, nn.Module, Tensor, Tensor]], logits: Tensor) -> None:
        makers = [
            (name, part, inputs)
            for name, part, inputs, out in ran
            if isinstance(part, nn.Linear) and out.shape == logits.shape and torch.equal(out, logits)
        ]
        if not makers:
            names = ", ".join(name for name, *_ in ran[-6:])
            raise OptionError(
                "No linear layer returns the logits, so its input cannot be used as the features. Give --features with "
                f"the name of the module whose outputs are the features; the last modules that ran: {names}."
            )
        self.head, part, inputs = makers[-1]
        self.features = (
            f"input of {self.head} ({inputs.shape[-1]} numbers), the layer that makes the logits; found automatically"
        )
        part.register_forward_pre_hook(lambda _part, args: self._seen.append(args[0]))

    def _read_outputs(self, name: str, ran: list[tuple[str, nn.Module, Tensor, Tensor]]) -> None:
        outputs = {ran_name: (part, out) for ran_name, part, _, out in ran if isinstance(out, Tensor)}
        if name not in outputs:
            raise OptionError(
                f"No module named '{name}' runs in this architecture.{did_you_mean(name, outputs)} The last that ran: "
                f"{', '.join(list(outputs)[-6:])}."
            )
        part, out = outputs[name]
        self.features = f"outputs of {name} ({_pooled(out).shape[1]} numbers{_pooling(out)}); named by you"
        part.register_forward_hook(lambda _part, _args, out: self._seen.append(_pooled(out)))


def make_network(
    name: str, options: Mapping[str, Any], dataset: Dataset, features: str | None, size: int | None, normalise: str
) -> Network:
    """Returns an untrained network of an architecture, on the device of the images and with one logit per class.

    Args:
        name: ``torchvision:NAME``, ``timm:NAME``, ``module:function``, ``file.py:function``, or a registered model.
        options: arguments of the architecture; they override the number of classes.
        dataset: the images.
        features: the module whose outputs are the features; None for the input of the layer that makes the logits.
        size: side in pixels to which images are resized; None keeps their size.
        normalise: one of :data:`NORMALISATIONS`.

    Raises:
        OptionError, UnknownNameError: the architecture, module or normalisation does not exist, or the architecture
            does not accept the images.
    """
    if normalise not in NORMALISATIONS:
        raise unknown_name("normalisation", normalise, NORMALISATIONS)
    if size is not None and not 1 <= size <= LARGEST_SIZE:
        raise OptionError(f"--size is {size}, expected 1 to {LARGEST_SIZE} pixels.")
    classes = len(dataset.classes)
    if SEPARATOR in name:
        module = make_module(describe(name, options), classes)
    else:
        module = build(describe(name, options), channels=dataset.channels, classes=classes, seed=0)
    return _wrapped(module, name, dataset, features, size, normalise)


def network_of(module: nn.Module, dataset: Dataset, features: str | None, size: int | None, normalise: str) -> Network:
    """Returns the same for a copy of a network in memory."""
    if normalise not in NORMALISATIONS:
        raise unknown_name("normalisation", normalise, NORMALISATIONS)
    return _wrapped(copy.deepcopy(module), "", dataset, features, size, normalise)


def _wrapped(
    module: nn.Module, name: str, dataset: Dataset, features: str | None, size: int | None, normalise: str
) -> Network:
    channels = _input_channels(module) or (3 if name.startswith(("torchvision:", "timm:")) else dataset.channels)
    grey = dataset.channels == 1 and channels > 1

    def preparation(kind: str, mean: Numbers, std: Numbers) -> tuple[Callable[[Tensor], Tensor], str]:
        if channels == dataset.channels == 1:  # numbers of colours, as timm takes them for one channel
            mean, std = (sum(mean) / len(mean),), (sum(std) / len(std),)
        scale = Normalise(mean, std)

        def prepare(pixels: Tensor) -> Tensor:
            scaled = scale(pixels.expand(-1, channels, -1, -1) if grey else pixels)
            return scaled if size is None else interpolate(scaled, size=(size, size), mode="bilinear", antialias=True)

        steps = [f"grey repeated to {channels} channels"] if grey else []
        steps += [f"resized to {size}×{size} pixels"] if size else []
        steps += [f"normalised by {kind} (mean {_numbers(mean)}, deviation {_numbers(std)})"]
        return prepare, ", ".join(steps)

    network = Network(module.to(dataset.train.pixels.device), preparation, features, size)
    kind, (mean, std) = _normalisation(name, normalise, module, dataset)
    network.normalise_by(kind, mean, std)
    with torch.no_grad():
        network.attach(dataset.train.pixels[:2], len(dataset.classes))
    return network


def _input_channels(module: nn.Module) -> int | None:
    """Returns the channels of the images that a network takes, 1 or 3, by its first convolution; None if unknown."""
    first = next((part.in_channels for part in module.modules() if isinstance(part, nn.Conv2d)), None)
    return first if first in (1, 3) else None


def _counted(channels: int) -> str:
    return "1 channel" if channels == 1 else f"{channels} channels"


def _normalisation(
    name: str, normalise: str, module: nn.Module, dataset: Dataset
) -> tuple[str, tuple[Numbers, Numbers]]:
    """Returns a description of the normalisation, and its mean and standard deviation per channel."""
    if normalise == "auto" and normalises_itself(module):
        return "nothing outside: the network normalises its inputs itself", ((0.0,), (1.0,))
    numbers = statistics_of(name, normalise, module, dataset.channels)
    if numbers is None:
        return "the training images' numbers", (dataset.mean, dataset.std)
    kinds = {IMAGENET: "ImageNet's numbers"} if normalise == "imagenet" or name.startswith("torchvision:") else {}
    if normalise == "none":
        return "nothing: pixels from 0 to 1", numbers
    return kinds.get(numbers, "the architecture's own numbers"), numbers


def _numbers(values: Numbers) -> str:
    return " ".join(f"{value:.3g}" for value in values)


def _pooled(out: Tensor) -> Tensor:
    """Returns a module's outputs as (N, d): the mean over the positions of an image or over tokens."""
    if out.ndim == 4:
        return out.mean(dim=(2, 3))
    return out.mean(dim=1) if out.ndim == 3 else out.flatten(1)


def _pooling(out: Tensor) -> str:
    return {4: ", the mean over positions", 3: ", the mean over tokens"}.get(out.ndim, "")
