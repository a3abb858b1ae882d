"""Finds the parts of any network: its head, the outputs of a named module, and its last stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from unlearn_bench.core.errors import OptionError, did_you_mean, reason_of
from unlearn_bench.models.preparation import input_channels

TRUNK = 0.85  # a part with a larger share of its parent's parameters is divided further in the search for a last stage
SHOWN = 6  # modules that a message lists


@dataclass(frozen=True)
class Advice:
    """What the user of a command can do about a network that does not fit: clauses for the messages.

    Attributes:
        size: if the network does not accept the size of the images.
        channels: if the images have another number of channels.
        head: if no linear layer comes last.
    """

    size: str
    channels: str
    head: str


BENCHMARK = Advice(
    size="Give the side in pixels that it expects (--size, or input_size in benchmarks.yaml), such as 224",
    channels="Give images or a network with the same number of channels",
    head="Change the network so that a linear layer comes last",
)
AUDIT = Advice(
    size="Give --size, such as --size 224",
    channels="Convert the images with --grey, or set the channels of the architecture with --argument, such as "
    "--argument in_chans=3",
    head="Give --features with the name of the module whose outputs are the features",
)
IN_MEMORY = Advice(
    size="Give size, such as size=224",
    channels="Give a network that takes the channels of the images",
    head="Give features, the name of the module whose outputs are the features",
)


@dataclass(frozen=True)
class Trace:
    """What one pass of a network did.

    Attributes:
        logits: (N, K).
        outputs: the modules that ran, in order, each as its name, itself and what it returned.
    """

    logits: Tensor
    outputs: tuple[tuple[str, nn.Module, Any], ...]

    @property
    def last_names(self) -> str:
        """The names of the last modules that ran."""
        return ", ".join(name for name, *_ in self.outputs[-SHOWN:])


def trace(module: nn.Module, inputs: Tensor, classes: int, advice: Advice) -> Trace:
    """Passes inputs (N, C, H, W) through a network, and returns what its modules returned.

    Raises:
        OptionError: the network does not accept the inputs, or returns no logits (N, K) with K ≥ ``classes``.
    """
    ran: list[tuple[str, nn.Module, Any]] = []
    hooks = [
        part.register_forward_hook(lambda part, _args, out, name=name: ran.append((name, part, out)))
        for name, part in module.named_modules()
        if name
    ]
    try:
        with torch.no_grad():
            logits = logits_of(module(inputs))
    except Exception as problem:  # code of others can raise anything
        raise _refusal(module, inputs, problem, advice) from None
    finally:
        for hook in hooks:
            hook.remove()
    if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[1] < classes:
        shown = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise OptionError(f"The network returns {shown}, expected logits (N, {classes}): one column per class.")
    return Trace(logits, tuple(ran))


def _refusal(module: nn.Module, inputs: Tensor, problem: Exception, advice: Advice) -> OptionError:
    channels = input_channels(module)
    if channels is not None and channels != inputs.shape[1]:
        return OptionError(
            f"The network takes images of {_counted(channels)}, and these have {_counted(inputs.shape[1])}. "
            f"{advice.channels}."
        )
    shape = "×".join(str(side) for side in inputs.shape[1:])
    return OptionError(f"The network does not accept images of {shape}: {reason_of(problem)}. {advice.size}.")


def _counted(channels: int) -> str:
    return "1 channel" if channels == 1 else f"{channels} channels"


def logits_of(out: Any) -> Any:
    """Returns the logits of a network's output: itself, or what a dictionary or an object calls ``logits``."""
    if isinstance(out, Tensor):
        return out
    named = out.get("logits") if isinstance(out, Mapping) else getattr(out, "logits", None)
    return named if isinstance(named, Tensor) else out


def head_of(traced: Trace, advice: Advice) -> tuple[str, nn.Linear]:
    """Returns the name and the layer whose output are the network's logits.

    Raises:
        OptionError: no linear layer returns them.
    """
    heads = [
        (name, part)
        for name, part, out in traced.outputs
        if isinstance(part, nn.Linear) and out.shape == traced.logits.shape and torch.equal(out, traced.logits)
    ]
    if not heads:
        raise OptionError(
            "No linear layer within this network returns the logits, so its features are not known. "
            f"{advice.head}; the last modules that ran: {traced.last_names}."
        )
    return heads[-1]


def output_of(traced: Trace, name: str) -> Tensor:
    """Returns what the module of this name returned.

    Raises:
        OptionError: no module of this name ran and returned a tensor.
    """
    outputs = {ran: out for ran, _, out in traced.outputs if isinstance(out, Tensor)}
    if name not in outputs:
        raise OptionError(
            f"No module named '{name}' runs in this network and returns a tensor.{did_you_mean(name, outputs)} The "
            f"last that ran: {', '.join(list(outputs)[-SHOWN:])}."
        )
    return outputs[name]


def named_stage(module: nn.Module, words: str) -> tuple[str, ...]:
    """Returns the names of the modules of a last stage that the user names, separated by commas.

    Raises:
        OptionError: the network has no such module, or it has no parameters.
    """
    known = {name: part for name, part in module.named_modules() if name}
    names = tuple(word.strip() for word in words.split(","))
    for name in names:
        if name not in known or next(known[name].parameters(), None) is None:
            raise OptionError(
                f"The network has no module '{name}' with parameters.{did_you_mean(name, known)} Give the names of its "
                "last stage, separated by commas."
            )
    return names


def find_last_stage(module: nn.Module, prefix: str = "") -> list[str]:
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
    return (find_last_stage(child, f"{name}.") if divides else [name]) + [after for after, *_ in children[number + 1 :]]


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
