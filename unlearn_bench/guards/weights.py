"""Which weights a method moved, and which it kept, compared with the model that it started from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from unlearn_bench.models import Classifier

State = Mapping[str, Tensor]
KEPT = 0.5  # cosine to the start above which a part was not drawn anew; of independent draws it is near 0
EVERYTHING = "everything"


def keys_of(network: Classifier, part: str) -> set[str]:
    """Returns the names in the state that a part (``head``, ``head.bias``, ``last_stage``) comprises.

    Raises:
        AttributeError: the network has no such part.
    """
    found: Any = network
    for name in part.split("."):
        found = getattr(found, name)
    own = [found] if isinstance(found, Tensor) else list(found.state_dict(keep_vars=True).values())
    known = {id(value) for value in own}
    return {name for name, value in network.state_dict(keep_vars=True).items() if id(value) in known}


def moved_outside(moves: Sequence[str], network: Classifier, before: State, after: State) -> str:
    """Returns, in words, which weights moved outside of the declared parts; empty where none did.

    Args:
        moves: the parts; empty for all.
        network: of the architecture.
        before, after: the state before and after the run, statistics of normalisations included.
    """
    if not moves:
        return ""
    permitted = set().union(*(keys_of(network, part) for part in moves))
    moved = [name for name in before if name not in permitted and not torch.equal(before[name], after[name])]
    return f"{some(moved)} moved, declared: {', '.join(moves)}" if moved else ""


def kept_of_redrawn(redraws: Sequence[str], network: Classifier, before: State, after: State) -> str:
    """Returns, in words, which parts declared to be drawn anew still point as the start does; empty where none.

    The weight matrices of a part are compared by their cosine. Buffers are not: no training moves them. The head is
    not: on features that stayed, a head drawn anew is trained towards the same optimum.
    """
    left_out = keys_of(network, "head") | {name for name, _ in network.named_buffers()}
    for part in redraws:
        keys = set(before) if part == EVERYTHING else keys_of(network, part)
        names = sorted(name for name in keys - left_out if before[name].dim() > 1)
        if names and (near := cosine(before, after, names)) > KEPT:
            return f"{part} is declared to be drawn anew, and has a cosine of {near:.2f} to the start model's weights"
    return ""


def cosine(one: State, other: State, names: Iterable[str]) -> float:
    """Returns the cosine between two states as vectors of their tensors of those names, in float64."""
    a, b = (torch.cat([state[name].double().flatten() for name in names]) for state in (one, other))
    return float(torch.nn.functional.cosine_similarity(a, b, dim=0))


def some(names: Iterable[str]) -> str:
    """Returns up to three names in order, and how many more there are."""
    shown = sorted(names)
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")
