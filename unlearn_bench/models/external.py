"""Any classifier as a :class:`Classifier`: finds its head and its last stage, and prepares its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from unlearn_bench.core.errors import OptionError, did_you_mean, reason_of
from unlearn_bench.models import Classifier, Statistics

TRUNK = 0.85  # a part with a larger share of its parent's parameters is divided further in the search for a last stage


class External(Classifier):
    """A network of another library, or of a user, with the interface of :class:`Classifier`.

    Its linear head is taken out: ``backbone`` is the rest, whose output is the head's input, the features.

    Attributes:
        backbone: the network with :class:`torch.nn.Identity` in the place of the head.
        head: the linear layer that returns the logits.
        head_name: its name in the network.
    """

    def __init__(
        self,
        module: nn.Module,
        make: Callable[[], nn.Module],
        *,
        example: Tensor,
        classes: int,
        input_size: int | None = None,
        statistics: Statistics | None = None,
        last_stage: str = "",
    ) -> None:
        """Wraps a network, which loses its head.

        Args:
            module: the network.
            make: returns the same network with new weights drawn from the global generator, for parts that a method
                draws anew.
            example: (N, C, H, W) float, some inputs as the data set has them, for one pass that finds the head.
            classes: K; the network may have more outputs.
            input_size: side in pixels to which inputs are resized, bilinear with antialiasing; None for no resizing.
            statistics: of the pixels, for normalisation; None for the data set's.
            last_stage: names of the modules of the last stage, separated by commas; empty to find them.

        Raises:
            OptionError: the network does not accept the inputs, does not return logits, has no linear layer that
                returns them, or has no module of the given name.
        """
        super().__init__()
        self._channels = example.shape[1]
        self._make, self._statistics, self._input_size = make, statistics, input_size
        self.head_name, self.head = _head_of(module.eval(), self._resized(example), classes)
        self.backbone = module
        _put(module, self.head_name, nn.Identity())
        with torch.no_grad():
            features = self.features(example)
        if features.ndim != 2 or features.shape[1] != self.head.in_features:
            raise OptionError(
                f"The layer {self.head_name} does not come last in this network, so the network without it returns "
                f"{tuple(features.shape)}, expected (N, {self.head.in_features}) features. Change the network so that "
                "a linear layer comes last."
            )
        self._stage = _named(module, last_stage) if last_stage else tuple(_last_stage(module))

    @property
    def last_stage(self) -> nn.Module:
        """The last group of layers before the head, with every layer with parameters after it."""
        return nn.ModuleList([self.backbone.get_submodule(name) for name in self._stage])

    @property
    def counted(self) -> nn.Module:
        """The first module of the last stage, which runs once in each pass."""
        return self.backbone.get_submodule(self._stage[0])

    def features(self, x: Tensor) -> Tensor:
        """Returns (N, d): the head's input, for images (N, C, H, W), which are resized if the network needs it."""
        features: Tensor = logits_of(self.backbone(self._resized(x)))
        return features

    def statistics(self, mean: Sequence[float], std: Sequence[float]) -> Statistics:
        """Returns mean and standard deviation of the pixels for normalisation: the network's, else the data set's."""
        repeats = self._channels // len(mean)  # 3 for grey images that the network takes as colour images
        return self._statistics or (tuple(mean) * repeats, tuple(std) * repeats)

    @property
    def preparation(self) -> dict[str, Any]:
        """Size and normalisation of the inputs."""
        return {"input_size": self._input_size, "statistics": self._statistics}

    def reinitialise(self, part: nn.Module, seed: int) -> None:
        """Gives ``part`` the weights and statistics that a network newly made with ``seed`` has in the same place."""
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            fresh = self._make().state_dict()
            own = {id(value) for value in part.state_dict(keep_vars=True).values()}
            for name, value in self.state_dict(keep_vars=True).items():
                if id(value) in own:
                    value.copy_(fresh[self.given_name(name)])

    def given_name(self, name: str) -> str:
        """Returns the name that a tensor of :meth:`state_dict` has in the network that was wrapped."""
        if name.startswith("head."):
            return f"{self.head_name}.{name.removeprefix('head.')}"
        return name.removeprefix("backbone.")

    def own_state(self) -> dict[str, Tensor]:
        """Returns the weights under the names of the network that was wrapped."""
        return {self.given_name(name): value for name, value in self.state_dict().items()}

    def load_own(self, tensors: Mapping[str, Tensor]) -> None:
        """Loads weights under the names of the network that was wrapped; the batch counters of BatchNorm may lack."""
        own = {name: self.given_name(name) for name in self.state_dict()}
        self.load_state_dict({name: tensors[given] for name, given in own.items() if given in tensors}, strict=False)

    def _resized(self, x: Tensor) -> Tensor:
        size = self._input_size
        if size is None or x.shape[2:] == (size, size):
            return x
        return interpolate(x, size=(size, size), mode="bilinear", antialias=True)


def logits_of(out: Any) -> Any:
    """Returns the logits of a network's output: itself, or what a dictionary or an object calls ``logits``."""
    if isinstance(out, Tensor):
        return out
    named = out.get("logits") if isinstance(out, Mapping) else getattr(out, "logits", None)
    return named if isinstance(named, Tensor) else out


def _head_of(module: nn.Module, example: Tensor, classes: int) -> tuple[str, nn.Linear]:
    """Returns the name and the layer whose output are the network's logits."""
    ran: list[tuple[str, nn.Module, Any]] = []
    hooks = [
        part.register_forward_hook(lambda part, _args, out, name=name: ran.append((name, part, out)))
        for name, part in module.named_modules()
        if name or isinstance(part, nn.Linear)
    ]
    try:
        with torch.no_grad():
            logits = logits_of(module(example))
    except (RuntimeError, ValueError, TypeError, AssertionError, IndexError) as problem:
        shape = "×".join(str(side) for side in example.shape[1:])
        raise OptionError(
            f"The network does not accept images of {shape}: {reason_of(problem)}. Give the side in pixels that it "
            "expects (--size, or input_size in benchmarks.yaml), such as 224."
        ) from None
    finally:
        for hook in hooks:
            hook.remove()
    if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[1] < classes:
        shown = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise OptionError(f"The network returns {shown}, expected logits (N, {classes}): one column per class.")
    heads = [
        (name, part)
        for name, part, out in ran
        if isinstance(part, nn.Linear) and out.shape == logits.shape and torch.equal(out, logits)
    ]
    if not heads or not heads[-1][0]:
        raise OptionError(
            "No linear layer within this network returns the logits, so its features are not known. The last modules "
            f"that ran: {', '.join(name for name, *_ in ran[-6:])}. Change the network so that a linear layer comes "
            "last."
        )
    return heads[-1]


def _put(module: nn.Module, name: str, part: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(module.get_submodule(parent), last, part)


def _named(module: nn.Module, words: str) -> tuple[str, ...]:
    known = {name: part for name, part in module.named_modules() if name}
    names = tuple(word.strip() for word in words.split(","))
    for name in names:
        if name not in known or next(known[name].parameters(), None) is None:
            raise OptionError(
                f"The network has no module '{name}' with parameters.{did_you_mean(name, known)} Give the names of its "
                "last stage, separated by commas."
            )
    return names


def _last_stage(module: nn.Module, prefix: str = "") -> list[str]:
    """Returns the names of the last stage and of the modules with parameters after it.

    The stage is the last child with at least half as many parameters as the children have on average. A child that
    holds nearly all of them, such as a transformer's list of blocks, is divided in turn.
    """
    children = [(f"{prefix}{name}", child, _size(child)) for name, child in module.named_children() if _size(child)]
    if not children:
        return [prefix.rstrip(".")]
    total = sum(size for *_, size in children)
    number = max(k for k, (*_, size) in enumerate(children) if size >= total / len(children) / 2)
    name, child, size = children[number]
    divides = size > TRUNK * total and sum(_size(part) > 0 for part in child.children()) > 0
    return (_last_stage(child, f"{name}.") if divides else [name]) + [after for after, *_ in children[number + 1 :]]


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
