"""From an architecture's name to a network whose features can be read while it runs."""

from __future__ import annotations

import copy
import importlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from unlearn_bench.data import Dataset
from unlearn_bench.data.batches import Normalise
from unlearn_bench.errors import OptionError, UserError, did_you_mean, unknown_name
from unlearn_bench.models import build, models

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
NORMALISATIONS = ("auto", "dataset", "imagenet", "none")


class Network:
    """A network with its preprocessing, from uint8 pixels to features and logits.

    Attributes:
        module: in evaluation mode.
        head: name of the layer that makes the logits; empty where the features were named.
        described: which features are read, in words.
        preprocessing: in words.
    """

    def __init__(
        self, module: nn.Module, prepare: Callable[[Tensor], Tensor], preprocessing: str, features: str | None
    ) -> None:
        self.module, self._prepare, self.preprocessing = module.eval(), prepare, preprocessing
        self.head = ""
        self.described = ""
        self._seen: list[Tensor] = []
        self._asked = features

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(each.numel() for each in self.module.parameters())

    def __call__(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Returns features (N, d) and logits (N, K) of pixels (N, C, H, W) uint8."""
        self._seen.clear()
        logits: Tensor = self.module(self._prepare(pixels))
        return self._seen[-1], logits

    def attach(self, pixels: Tensor, classes: int) -> None:
        """Finds the features by one pass over some pixels (N, C, H, W) uint8.

        Raises:
            OptionError: the network does not take these images or gives no (N, K) logits, the named module does not
                exist or does not run, or the layer that makes the logits cannot be told.
        """
        inputs = self._prepare(pixels)
        ran: list[tuple[str, nn.Module, Tensor, Tensor]] = []
        hooks = [
            part.register_forward_hook(
                lambda part, given, out, name=name: ran.append((name, part, given[0] if given else out, out))
            )
            for name, part in self.module.named_modules()
            if name
        ]
        try:
            logits = self.module(inputs)
        except (RuntimeError, ValueError, TypeError, AssertionError, IndexError) as problem:
            shape = "×".join(str(side) for side in inputs.shape[1:])
            reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
            raise OptionError(
                f"The architecture refuses images of {shape}: {reason}. Give it --size, such as 224."
            ) from None
        finally:
            for hook in hooks:
                hook.remove()
        if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[1] < classes:
            shown = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise OptionError(f"The architecture returns {shown}, expected logits (N, {classes}): a column a class.")
        if self._asked is not None:
            self._read_outputs(self._asked, ran)
        else:
            self._read_head(ran, logits)

    def _read_head(self, ran: list[tuple[str, nn.Module, Tensor, Tensor]], logits: Tensor) -> None:
        makers = [
            (name, part, given)
            for name, part, given, out in ran
            if isinstance(part, nn.Linear) and out.shape == logits.shape and torch.equal(out, logits)
        ]
        if not makers:
            names = ", ".join(name for name, *_ in ran[-6:])
            raise OptionError(
                "No linear layer makes the logits as they are, so that its input is not known to be the features. Name "
                f"a module whose outputs are, with --features; the last that ran: {names}."
            )
        self.head, part, given = makers[-1]
        self.described = f"input of {self.head} ({given.shape[-1]} numbers), the layer that makes the logits; found"
        part.register_forward_pre_hook(lambda _part, inputs: self._seen.append(inputs[0]))

    def _read_outputs(self, name: str, ran: list[tuple[str, nn.Module, Tensor, Tensor]]) -> None:
        outputs = {each: (part, out) for each, part, _, out in ran if isinstance(out, Tensor)}
        if name not in outputs:
            raise OptionError(
                f"No module named '{name}' runs in this architecture.{did_you_mean(name, outputs)} The last that ran: "
                f"{', '.join(list(outputs)[-6:])}."
            )
        part, out = outputs[name]
        self.described = f"outputs of {name} ({_pooled(out).shape[1]} numbers{_how(out)}); named"
        part.register_forward_hook(lambda _part, _inputs, found: self._seen.append(_pooled(found)))


def make_network(
    name: str, options: Mapping[str, Any], dataset: Dataset, features: str | None, size: int | None, normalise: str
) -> Network:
    """Returns an untrained network of that architecture for the images of a data set, on their device.

    Args:
        name: ``torchvision:NAME``, ``timm:NAME``, ``module:function``, or a registered model.
        options: its arguments, over the number of classes.
        dataset: the images.
        features: see :class:`Network`.
        size: side of the images in pixels; None as they are.
        normalise: one of :data:`NORMALISATIONS`.

    Raises:
        OptionError, UnknownNameError: no such architecture, module or normalisation; or it does not take the images.
    """
    if normalise not in NORMALISATIONS:
        raise unknown_name("normalisation", normalise, NORMALISATIONS)
    if size is not None and not 1 <= size <= 4096:
        raise OptionError(f"--size is {size}, expected a side of 1 to 4096 pixels.")
    return _wrapped(_build(name, options, dataset), name, dataset, features, size, normalise)


def network_of(module: nn.Module, dataset: Dataset, features: str | None, size: int | None, normalise: str) -> Network:
    """Returns a copy of a network in memory, likewise, on the device of the images; it takes these as they are."""
    if normalise not in NORMALISATIONS[1:]:
        raise unknown_name("normalisation", normalise, NORMALISATIONS[1:])
    return _wrapped(copy.deepcopy(module), "", dataset, features, size, normalise)


def _wrapped(
    module: nn.Module, name: str, dataset: Dataset, features: str | None, size: int | None, normalise: str
) -> Network:
    grey = dataset.channels == 1 and ":" in name
    kind, (mean, std) = _normalisation(name, normalise, module, dataset)
    scale = Normalise(mean * 3 if grey and len(mean) == 1 else mean, std * 3 if grey and len(std) == 1 else std)

    def prepare(pixels: Tensor) -> Tensor:
        if grey:
            pixels = pixels.expand(-1, 3, -1, -1)
        scaled = scale(pixels)
        return scaled if size is None else interpolate(scaled, size=(size, size), mode="bilinear", antialias=True)

    shown = f"normalised by {kind} (mean {_numbers(mean)}, deviation {_numbers(std)})"
    shown = f"resized to {size}×{size} pixels, {shown}" if size else shown
    shown = f"grey repeated to three channels, {shown}" if grey else shown
    network = Network(module.to(dataset.train.pixels.device), prepare, shown, features)
    with torch.no_grad():
        network.attach(dataset.train.pixels[:2], len(dataset.classes))
    return network


def _build(name: str, options: Mapping[str, Any], dataset: Dataset) -> nn.Module:
    source, _, function = name.partition(":")
    if not function:
        return build({"name": source, **options}, channels=dataset.channels, classes=len(dataset.classes), seed=0)
    arguments = {"num_classes": len(dataset.classes), **{key: _value(value) for key, value in options.items()}}
    try:
        if source == "torchvision":
            from torchvision import models as classifiers
            from torchvision.models import get_model, list_models

            names = list_models(module=classifiers)  # not detectors and the like, which fetch the weights of a part
            if function not in names:
                raise OptionError(f"torchvision has no classifier '{function}'.{did_you_mean(function, names)}")
            return get_model(function, weights=None, **arguments)
        if source == "timm":
            timm = _timm()
            if not timm.is_model(function):
                raise OptionError(f"timm has no model '{function}'.{did_you_mean(function, timm.list_models())}")
            return timm.create_model(function, pretrained=False, **arguments)
        return _from_factory(name, source, function, {key: arguments[key] for key in options})
    except UserError:
        raise
    except (Exception, SystemExit) as problem:  # anyone's code
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise OptionError(f"The architecture {name} cannot be built: {reason}. Change --set or mend it.") from None


def _value(given: Any) -> Any:
    """Returns the number or truth that words of a command line stand for; other words as they are."""
    try:
        return json.loads(given) if isinstance(given, str) else given
    except ValueError:
        return given


def _timm() -> Any:
    try:
        return importlib.import_module("timm")
    except ModuleNotFoundError:
        raise OptionError(
            "timm is not installed, which has this architecture. Install it with: pip install 'unlearn-bench[timm]'"
        ) from None


def _from_factory(name: str, source: str, function: str, options: Mapping[str, Any]) -> nn.Module:
    """Returns what the user's own function returns: a module of theirs, found from the working folder too."""
    sys.path.insert(0, str(Path.cwd()))
    try:
        factory = getattr(importlib.import_module(source), function)
    except (ImportError, AttributeError) as problem:
        raise OptionError(
            f"The architecture {name} cannot be found: {problem}. Expected torchvision:NAME, timm:NAME, "
            f"MODULE:FUNCTION, or one of {', '.join(models.names())}."
        ) from None
    finally:
        sys.path.pop(0)
    module = factory(**options)
    if not isinstance(module, nn.Module):
        raise OptionError(f"{name} returned {type(module).__name__}, expected a torch.nn.Module.")
    return module


def _normalisation(
    name: str, asked: str, module: nn.Module, dataset: Dataset
) -> tuple[str, tuple[tuple[float, ...], tuple[float, ...]]]:
    """Returns whose mean and deviation normalise, and these."""
    if asked == "auto" and name.startswith("timm:"):
        config = getattr(module, "pretrained_cfg", {})
        return "the architecture's own numbers", (tuple(config["mean"]), tuple(config["std"]))
    if asked == "imagenet" or (asked == "auto" and name.startswith("torchvision:")):
        return "ImageNet's numbers", IMAGENET
    if asked == "none":
        return "nothing, pixels from 0 to 1", ((0.0,) * dataset.channels, (1.0,) * dataset.channels)
    return "the training images' numbers", (dataset.mean, dataset.std)


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.3g}" for value in values)


def _pooled(out: Tensor) -> Tensor:
    """Returns (N, d) of a module's outputs: the mean over places of an image, or over tokens."""
    if out.ndim == 4:
        return out.mean(dim=(2, 3))
    return out.mean(dim=1) if out.ndim == 3 else out.flatten(1)


def _how(out: Tensor) -> str:
    return {4: ", the mean over places", 3: ", the mean over tokens"}.get(out.ndim, "")
