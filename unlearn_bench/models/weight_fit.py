"""Finds out which names in a file are those of a network: by fit, whatever prefixes they have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

# segments that a wrapper adds to the names of the network within it, at any depth
WRAPPED = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
SYNONYMS = {"linear": "fc", "head": "fc", "shortcut": "downsample"}  # a layer of ResNets under its usual names
LEFTOVERS = ("total_ops", "total_params", "attn_mask", "n_averaged")  # buffers of profilers and other versions
SPREADS = (("mean", "std"), ("means", "sds"), ("mu", "sigma"))  # how buffers of a normalisation are named

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]  # mean and standard deviation of pixels from 0 to 1


@dataclass(frozen=True)
class Fit:
    """How the tensors of a dictionary are those of a network.

    Attributes:
        prefix: what precedes the network's names, such as ``model.``.
        names: the name in the dictionary, by the network's name.
        lacking: names of the network that the dictionary lacks.
        unknown: names of the dictionary that belong to a module of the network, which does not have them.
        other: for each tensor of another shape its name in the dictionary, its shape, and the shape of the network's.
        beside: names of the dictionary that belong to no module of the network.
    """

    prefix: str
    names: dict[str, str]
    lacking: tuple[str, ...]
    unknown: tuple[str, ...]
    other: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    beside: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Whether these are the weights of the network."""
        return not self.lacking and not self.unknown and not self.other


def tensors_of(entries: Mapping[Any, Any]) -> dict[str, Tensor]:
    """Returns the tensors of a dictionary; the mask of a pruned weight is multiplied into it, under the weight's name.

    >>> pruned = {"fc.weight_orig": torch.ones(2), "fc.weight_mask": torch.tensor([0.0, 1.0])}
    >>> tensors_of(pruned)
    {'fc.weight': tensor([0., 1.])}
    """
    tensors = {
        name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        for name, value in entries.items()
        if isinstance(name, str) and (isinstance(value, Tensor) or _is_numeric(value))
    }
    for name in [name for name in tensors if name.endswith("_orig")]:
        base = name.removesuffix("_orig")
        mask = tensors.get(f"{base}_mask")
        if base not in tensors and mask is not None and mask.shape == tensors[name].shape:
            # in its place, so that the order stays
            tensors = {
                base if key == name else key: value * mask if key == name else value
                for key, value in tensors.items()
                if key != f"{base}_mask"
            }
    return tensors


def _is_numeric(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.dtype.isnative


def fits_of(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[Fit]:
    """Returns a fit for each prefix under which the network's names occur, the best first.

    Args:
        tensors: of a dictionary, see :func:`tensors_of`.
        own: the state dictionary of the network.
    """
    fits = _fits_of_view(tensors, {name: name for name in own}, own)
    if not any(fit.names for fit in fits):  # the network may be in a wrapper that the file lacks
        shared = _shared_prefix(own)
        fits = _fits_of_view(tensors, {name: name.removeprefix(shared) for name in own}, own)
    return sorted(fits, key=lambda fit: (not fit.fits, len(fit.other) - len(fit.names), len(fit.prefix)))


def _fits_of_view(tensors: Mapping[str, Tensor], view: Mapping[str, str], own: Mapping[str, Tensor]) -> list[Fit]:
    """Returns the fits for names of the network as ``view`` spells them."""
    for dropped, synonyms in ((WRAPPED, SYNONYMS), (WRAPPED, {}), ((), {})):
        ours = {_spelled(seen, dropped, synonyms): name for name, seen in view.items()}
        theirs = {_spelled(name, dropped, synonyms): name for name in tensors}
        if len(ours) == len(view) and len(theirs) == len(tensors):  # else two names would meet in one
            break
    votes: Counter[str] = Counter()
    for name in theirs:
        parts = name.split(".")
        for k in range(len(parts)):
            if ".".join(parts[k:]) in ours:
                votes["".join(f"{part}." for part in parts[:k])] += 1
    best = max(votes.values(), default=0)
    likely = [prefix for prefix, count in votes.items() if count > best // 2] or [""]
    return [_fit(prefix, tensors, theirs, own, ours) for prefix in likely]


def _spelled(name: str, dropped: Container[str], synonyms: Mapping[str, str]) -> str:
    return ".".join(synonyms.get(part, part) for part in name.split(".") if part not in dropped)


def _fit(
    prefix: str,
    tensors: Mapping[str, Tensor],
    theirs: Mapping[str, str],
    own: Mapping[str, Tensor],
    ours: Mapping[str, str],
) -> Fit:
    """Returns the fit under a prefix; ``theirs`` and ``ours`` map the spelling that is compared to the real name."""
    inside = {name.removeprefix(prefix): key for name, key in theirs.items() if name.startswith(prefix)}
    names = {ours[name]: key for name, key in inside.items() if name in ours}
    pair = {key for mean, std in normalisation_names(tensors) for key in (mean, std)}
    foreign = [(name, key) for name, key in inside.items() if name not in ours and key not in pair]
    unknown = tuple(key for name, key in foreign if _belongs(name, tensors[key], ours))
    counted = set(names.values()) | set(unknown)
    return Fit(
        prefix=prefix,
        names={name: names[name] for name in own if name in names},
        lacking=tuple(name for name in own if name not in names and not name.endswith("num_batches_tracked")),
        unknown=unknown,
        other=tuple(
            (key, tuple(tensors[key].shape), tuple(own[name].shape))
            for name, key in names.items()
            if tensors[key].shape != own[name].shape
        ),
        beside=tuple(key for key in tensors if key not in counted),
    )


def _belongs(name: str, value: Tensor, ours: Mapping[str, str]) -> bool:
    """Whether a name that the network lacks is of one of its modules, so that the network must be another."""
    first, *rest = name.split(".")
    if (first, *rest)[-1] in LEFTOVERS or not (value.is_floating_point() or value.is_complex()):
        return False
    return not rest or first.isdecimal() or any(own.startswith(f"{first}.") for own in ours)


def _shared_prefix(own: Iterable[str]) -> str:
    """Returns the segments with which every name begins."""
    shared = ""
    for parts in zip(*(name.split(".")[:-1] for name in own), strict=False):
        if len(set(parts)) > 1:
            break
        shared += f"{parts[0]}."
    return shared


def normalisation_names(tensors: Mapping[str, Tensor], without: Iterable[str] = ()) -> list[tuple[str, str]]:
    """Returns the pairs of names that are the mean and the deviation of a normalisation of one or three channels.

    Args:
        tensors: by name.
        without: names that are no such pairs.

    >>> normalisation_names({"normalize.mean": torch.zeros(3), "normalize.std": torch.ones(3), "bias": torch.ones(3)})
    [('normalize.mean', 'normalize.std')]
    """
    pairs = []
    for name, value in tensors.items():
        head, _, last = name.rpartition(".")
        for mean, std in SPREADS:
            if last != mean and not last.endswith(f"_{mean}"):
                continue
            other = f"{head}.{last.removesuffix(mean)}{std}".removeprefix(".")
            spread = tensors.get(other)
            if {name, other} & set(without) or spread is None:
                continue
            if value.numel() == spread.numel() in (1, 3) and _is_spread(value, spread):
                pairs.append((name, other))
    return pairs


def _is_spread(mean: Tensor, std: Tensor) -> bool:
    dense = all(part.is_floating_point() and not part.is_meta and part.layout is torch.strided for part in (mean, std))
    return dense and bool((std > 0).all()) and bool(mean.isfinite().all() and std.isfinite().all())


def normalisation_of(tensors: Mapping[str, Tensor], pair: tuple[str, str]) -> Normalisation:
    """Returns the numbers of a pair of :func:`normalisation_names`, for pixels from 0 to 1."""
    mean, std = (tensors[name].double().flatten().tolist() for name in pair)
    scale = 255.0 if max(map(abs, mean)) > 2 else 1.0  # numbers of pixels from 0 to 255
    return tuple(value / scale for value in mean), tuple(value / scale for value in std)
