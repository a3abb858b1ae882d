"""Compares the weights that a method returns with those of the model that it started from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from unlearn_bench.models import Classifier

State = Mapping[str, Tensor]
KEPT = 0.5  # a part with a higher cosine to the start was not drawn anew; for independent draws it is near 0
EVERYTHING = "everything"


def keys_of(network: Classifier, part: str) -> set[str]:
    """Returns the names in the state dictionary that belong to a part (``head``, ``head.bias``, ``last_stage``).

    Raises:
        AttributeError: the network has no such part.
    """
    member: Any = network
    for name in part.split("."):
        member = getattr(member, name)
    tensors = [member] if isinstance(member, Tensor) else list(member.state_dict(keep_vars=True).values())
    own = {id(value) for value in tensors}
    return {name for name, value in network.state_dict(keep_vars=True).items() if id(value) in own}


def moved_outside(trains: Sequence[str], network: Classifier, before: State, after: State) -> str:
    """Returns a sentence on the weights that changed outside the declared parts; empty if there are none.

    Args:
        trains: the declared parts; empty for all parts.
        network: a network of the architecture.
        before, after: the state before and after the run, with the statistics of normalisation layers.
    """
    if not trains:
        return ""
    permitted = set().union(*(keys_of(network, part) for part in trains))
    moved = [name for name in before if name not in permitted and not torch.equal(before[name], after[name])]
    return f"{some(moved)} changed; declared to change: {', '.join(trains)}" if moved else ""


def kept_of_redrawn(redraws: Sequence[str], network: Classifier, before: State, after: State) -> str:
    """Returns a sentence on a part that is declared to be drawn anew but was not; empty if there is none.

    The weight matrices of a part are compared by their cosine to the start. Buffers are left out, because training does
    not change them. The head is left out, because on unchanged features a head drawn anew converges to the same
    optimum.
    """
    ignored = keys_of(network, "head") | {name for name, _ in network.named_buffers()}
    for part in redraws:
        keys = set(before) if part == EVERYTHING else keys_of(network, part)
        names = sorted(name for name in keys - ignored if before[name].dim() > 1)
        if names and (near := cosine(before, after, names)) > KEPT:
            return f"{part} is declared to be drawn anew, but has a cosine of {near:.2f} to the start model's weights"
    return ""


def cosine(first: State, second: State, names: Iterable[str]) -> float:
    """Returns the cosine between two states, each as one float64 vector of the tensors of these names."""
    a, b = (torch.cat([state[name].double().flatten() for name in names]) for state in (first, second))
    return float(torch.nn.functional.cosine_similarity(a, b, dim=0))


def some(names: Iterable[str]) -> str:
    """Returns the first three names in alphabetical order, and the number of further names."""
    shown = sorted(names)
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")
