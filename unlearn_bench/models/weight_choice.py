"""Chooses the weights of a network in a file that contains several dictionaries of tensors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unlearn_bench.core.errors import CheckpointError, did_you_mean
from unlearn_bench.models.weight_fit import Fit, fits_of, tensors_of

# keys and prefixes under which training loops save weights, the first preferred
WRAPPERS = (
    *("state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "state", "model_and_state"),
    *("model_state", "module", "classifier", "backbone", "encoder"),
)
AVERAGED = re.compile(r"(^|[_.-])(ema|swa|averaged|avg|shadow|polyak)([_.-]|$)")  # names of averages of weights
DEPTH = 5  # of dictionaries within each other
SHOWN = 3  # names in a message


@dataclass(frozen=True, eq=False)
class Candidate:
    """A dictionary of tensors in a file, with a prefix.

    Attributes:
        keys: the keys that lead to the dictionary.
        entries: the dictionary.
        tensors: its tensors, see :func:`unlearn_bench.models.weight_fit.tensors_of`.
        fit: how the tensors with the prefix fit the network.
    """

    keys: tuple[str, ...]
    entries: Mapping[Any, Any]
    tensors: Mapping[str, Tensor]
    fit: Fit

    @property
    def words(self) -> tuple[str, ...]:
        """The keys, and the segments of the prefix."""
        return (*self.keys, *filter(None, self.fit.prefix.split(".")))

    @property
    def name(self) -> str:
        """The name for ``--key``; empty if the file is the dictionary and its names have no prefix."""
        return ".".join(self.words)

    @property
    def is_average(self) -> bool:
        """Whether the weights are averages over training, by their name."""
        return any(AVERAGED.search(word.lower()) for word in self.words)

    def goes_by(self, key: str) -> bool:
        """Whether a user can mean this by ``key``: the whole name, its keys, its prefix, or the last word of these."""
        names = {self.name, ".".join(self.keys), self.fit.prefix.removesuffix("."), *self.words[-1:], *self.keys[-1:]}
        return bool(key) and key in names

    def equals(self, other: Candidate) -> bool:
        """Whether both are one, or fit the network with the same numbers."""
        if self is other or not (self.fit.fits and other.fit.fits):
            return self is other
        pairs = [(self.tensors[self.fit.names[name]], other.tensors[key]) for name, key in other.fit.names.items()]
        try:
            return all(torch.equal(one, two) for one, two in pairs)
        except RuntimeError:  # sparse and meta tensors cannot be compared
            return False


def candidates_of(content: Any, own: Mapping[str, Tensor]) -> list[Candidate]:
    """Returns every dictionary of tensors in a file with every likely prefix.

    Args:
        content: what the file contains.
        own: the state dictionary of the network.
    """
    return [
        Candidate(keys, entries, tensors, fit)
        for keys, entries in _dictionaries(content, (), set())
        if (tensors := tensors_of(entries))
        for fit in fits_of(tensors, own)
    ]


def _dictionaries(
    value: Any, keys: tuple[str, ...], seen: set[int]
) -> Iterator[tuple[tuple[str, ...], Mapping[Any, Any]]]:
    if len(keys) > DEPTH or id(value) in seen or not isinstance(value, (Mapping, list, tuple)):
        return
    seen.add(id(value))
    if isinstance(value, Mapping):
        yield keys, value
    for key, part in value.items() if isinstance(value, Mapping) else enumerate(value):
        if isinstance(key, (str, int)):
            yield from _dictionaries(part, (*keys, str(key)), seen)


def choose(
    candidates: Sequence[Candidate], key: str | None, file: Path, architecture: str
) -> tuple[Candidate, list[Candidate]]:
    """Returns the candidate to read, and those that fit besides and have other numbers.

    Raw weights are preferred to averages, and the more usual key to the less usual one.

    Args:
        candidates: at least one.
        key: the entry that the user chose; ignored if the file has no entries but the weights themselves.
        file: for messages.
        architecture: for messages.

    Raises:
        CheckpointError: none fits, none has the name ``key``, or several fit and none is preferred.
    """
    fitting = [candidate for candidate in candidates if candidate.fit.fits]
    meant = [candidate for candidate in candidates if key is None or candidate.goes_by(key)]
    if not meant and len(fitting) < 2 and not any(candidate.keys for candidate in candidates):
        meant = list(candidates)
    if not meant:
        names = list(dict.fromkeys(candidate.name for candidate in fitting or candidates if candidate.name))
        raise CheckpointError(
            f"{file.name} has no weights under '{key}'.{did_you_mean(key or '', names)} It has: {listed(names)}."
        )
    possible = [candidate for candidate in meant if candidate.fit.fits]
    if not possible:
        raise _misfit(min(meant, key=_distance), file, architecture)
    raw = sorted([candidate for candidate in possible if not candidate.is_average] or possible, key=_rank)
    best = [other for other in raw if _rank(other) == _rank(raw[0]) and not other.equals(raw[0])]
    if best:
        names = [candidate.name for candidate in (raw[0], *best)]
        raise CheckpointError(
            f"{file.name} has several weights that fit {architecture}: {listed(names)}. Choose one with --key."
        )
    return raw[0], [other for other in fitting if not other.equals(raw[0])]


def _rank(candidate: Candidate) -> tuple[int, ...]:
    """Returns how usual the place of the weights is; lower is more usual."""
    return tuple(WRAPPERS.index(word) if word in WRAPPERS else len(WRAPPERS) for word in candidate.words)


def _distance(candidate: Candidate) -> tuple[int, tuple[int, ...]]:
    """Returns how far the weights are from those of the network; lower is closer."""
    return len(candidate.fit.other) - len(candidate.fit.names), _rank(candidate)


def _misfit(candidate: Candidate, file: Path, architecture: str) -> CheckpointError:
    fit = candidate.fit
    shapes = [f"{key} {found}, expected {wanted}" for key, found, wanted in fit.other]
    problems = (("lacks", fit.lacking), ("has the unknown", fit.unknown), ("has another shape for", shapes))
    differences = "; ".join(f"{verb} {listed(names)}" for verb, names in problems if names)
    where = f"{printable('.'.join(candidate.keys))} of {file.name}" if candidate.keys else file.name
    remedy = "Give the network that has these weights, with its arguments (--argument)."
    if re.search(r"-\d+-of-\d+", file.name):
        remedy = "It is one of several shards: give their index, such as model.safetensors.index.json."
    return CheckpointError(f"{where} does not fit {architecture}: it {differences}. {remedy}")


def listed(names: Sequence[str]) -> str:
    """Returns some names for a message, and how many there are besides.

    >>> listed(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(printable, names[:SHOWN])) + more


def printable(name: str) -> str:
    """Returns a name of a file's own for a message, without characters that a terminal would obey."""
    return name if name.isprintable() else ascii(name)
