"""Reads weights of unknown origin without executing code, if they fit the network, and writes others in their form."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from unlearn_bench.core.errors import CheckpointError
from unlearn_bench.core.files import atomic_write
from unlearn_bench.models.weight_choice import DEPTH, Candidate, candidates_of, choose, listed, printable
from unlearn_bench.models.weight_fit import Normalisation, normalisation_names, normalisation_of
from unlearn_bench.models.weight_formats import Content, read_content

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)


@dataclass(frozen=True, eq=False)
class SavedWeights:
    """The weights of a file that fit a network, with everything that is needed to write others in the same form.

    Attributes:
        file: the file that was given.
        content: everything that it contains.
        entries: the dictionary in the content that contains the weights.
        state: the state dictionary of the network with the weights of the file, on the CPU.
        key: the keys that lead to the dictionary, such as ``state_dict_ema``; empty if the file is the dictionary.
        prefix: what precedes the network's names in it, such as ``model.``.
        names: for each name of the network, the names of the tensors with these numbers in the dictionary.
        beside: names in the dictionary that do not belong to the network, and are ignored.
        others: what else in the file fits the network, by the name for ``--key``.
        normalisation: mean and deviation of pixels from 0 to 1 if the file has buffers of a normalisation that the
            network lacks: the weights then expect inputs that are normalised by these numbers.
    """

    file: Path
    content: Content
    entries: Mapping[Any, Any]
    state: dict[str, Tensor]
    key: str
    prefix: str
    names: Mapping[str, Sequence[str]]
    beside: tuple[str, ...]
    others: tuple[str, ...]
    normalisation: Normalisation | None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a report should say besides the names of the file and of the key."""
        said = [f"names begin with {printable(self.prefix)}"] if self.prefix else []
        said += [f"ignored: {listed(self.beside)}"] if self.beside else []
        said += [f"also in the file: {printable(name)} (--key {printable(name)})" for name in self.others]
        return tuple(said)

    def write(self, state: Mapping[str, Tensor], target: Path) -> None:
        """Writes a file like the one that was read, with the weights replaced by those of ``state``.

        Keys, their order, types, nesting and every other entry stay, and each tensor keeps its kind of numbers. So do
        the weights that :attr:`others` names, and the states of optimizers. Shards become one file.

        Args:
            state: a state dictionary of the network.
            target: the new file; its ending does not matter.

        Raises:
            FileError: the file cannot be written; an existing file of the same name does not change.
        """
        value = _exchanged(self.content.value, self.entries, self._filled(state), DEPTH)
        with atomic_write(target) as part:
            if self.content.format == "safetensors":
                try:
                    tensors = {name: tensor.contiguous() for name, tensor in value.items()}
                    save_file(tensors, part, metadata=self.content.metadata)
                except SafetensorError as problem:  # safetensors raises it for errors of the system
                    raise OSError(str(problem)) from None
            else:
                torch.save(value, part, _use_new_zipfile_serialization=self.content.format == "torch")

    def _filled(self, state: Mapping[str, Tensor]) -> Any:
        """Returns the dictionary of the weights with new numbers."""
        filled: Any = _shallow(self.entries)
        shared: dict[Any, Any] = {}
        for own, names in self.names.items():
            new = state[own].detach().cpu()
            for name in names:
                if name in filled:
                    filled[name] = _like(filled[name], new, shared)
                else:  # a pruned weight: a position that has a number again is no longer cut
                    mask = filled[f"{name}_mask"]
                    filled[f"{name}_orig"] = _like(filled[f"{name}_orig"], new, shared)
                    filled[f"{name}_mask"] = _like(mask, torch.maximum(mask, (new != 0).to(mask.dtype)), shared)
        return filled


def read_weights(network: nn.Module, file: Path, architecture: str, key: str | None = None) -> SavedWeights:
    """Returns the weights of a file, and loads them into ``network``.

    The dictionary in the file and the prefix of its names are found by fit to the network; where several fit, see
    :func:`unlearn_bench.models.weight_choice.choose`.

    Args:
        network: a network of the architecture.
        file: see :func:`unlearn_bench.models.weight_formats.read_content`.
        architecture: its name, for messages.
        key: which of several entries to take, such as ``state_dict_ema``; ignored if the file has no entries but the
            weights themselves. None to find it.

    Raises:
        CheckpointError: the file is missing, contains more than tensors and plain objects, has no entry ``key``, or its
            names, shapes or kinds of numbers differ from those of the architecture.
    """
    content, own = read_content(file), network.state_dict()
    candidates = candidates_of(content.value, own)
    if not candidates:
        raise CheckpointError(
            f"{file.name} contains {type(content.value).__name__}, expected a dictionary of tensors by name."
        )
    chosen, others = choose(candidates, key, file, architecture)
    state = {name: chosen.tensors[saved] for name, saved in chosen.fit.names.items()}
    for name, value in state.items():
        _check_kind(printable(chosen.fit.names[name]), value, own[name], file)
    network.load_state_dict(state, strict=False)  # only the batch counters of BatchNorm can be missing
    network.eval()
    names = _all_names(chosen, candidates)
    pairs = normalisation_names(chosen.tensors, without=set(chosen.fit.names.values()))
    return SavedWeights(
        file=file,
        content=content,
        entries=chosen.entries,
        state={name: value.detach().cpu().clone() for name, value in network.state_dict().items()},
        key=".".join(chosen.keys),
        prefix=chosen.fit.prefix,
        names=names,
        beside=_beside(chosen, {name for known in (*pairs, *names.values()) for name in known}),
        others=tuple(dict.fromkeys(other.name for other in others if other.name)),
        normalisation=_normalisation(chosen.tensors, pairs, file),
    )


def _beside(chosen: Candidate, known: set[str]) -> tuple[str, ...]:
    """Returns the names in the dictionary of the weights that are not of the network."""
    no_tensors = [
        str(name)
        for name in chosen.entries
        if name not in chosen.tensors and re.sub("_(orig|mask)$", "", str(name)) not in chosen.tensors
    ]
    return (*(name for name in chosen.fit.beside if name not in known), *no_tensors)


def _all_names(chosen: Candidate, candidates: Sequence[Candidate]) -> dict[str, list[str]]:
    """Returns the names of each tensor, also those of equal copies under another prefix of the same dictionary."""
    copies = [other for other in candidates if other.entries is chosen.entries and other.equals(chosen)]
    return {
        own: list(dict.fromkeys([name, *(other.fit.names[own] for other in copies)]))
        for own, name in chosen.fit.names.items()
    }


def _normalisation(tensors: Mapping[str, Tensor], pairs: Sequence[tuple[str, str]], file: Path) -> Normalisation | None:
    numbers = {normalisation_of(tensors, pair) for pair in pairs}
    if len(numbers) > 1:
        names = listed([mean for mean, _ in pairs])
        raise CheckpointError(
            f"{file.name} has several normalisations: {names}. Give an architecture that contains the right one."
        )
    return numbers.pop() if numbers else None


def _check_kind(name: str, value: Tensor, expected: Tensor, file: Path) -> None:
    """Checks the kind of a tensor's numbers: integers of a quantised network must not be read as weights."""
    kind = next((word for word in ("is_meta", "is_quantized", "is_complex") if _is(value, word)), "")
    floating = expected.is_floating_point()
    if not floating and value.is_floating_point() and not kind and torch.equal(value, value.round()):
        return  # a counter that was converted with the weights
    if kind or value.layout is not torch.strided or value.dtype not in (FLOATS if floating else WHOLE):
        shown = str(value.dtype).removeprefix("torch.")
        dense = "" if value.layout is torch.strided and not kind else f" ({kind.removeprefix('is_') or value.layout})"
        kinds = "float16, bfloat16, float32 or float64" if floating else "integers"
        raise CheckpointError(f"{file.name} has {name} as {shown}{dense}, expected {kinds}, dense. Convert it.")
    if value.is_floating_point() and not bool(value.isfinite().all()):
        raise CheckpointError(f"{file.name} has values that are not finite, in {name}. Give finite weights.")


def _is(value: Tensor, word: str) -> bool:
    attribute = getattr(value, word)
    return bool(attribute() if callable(attribute) else attribute)


def _exchanged(value: Any, old: Any, new: Any, depth: int) -> Any:
    """Returns a container with ``new`` in place of ``old``; what does not contain it stays the same object."""
    if value is old:
        return new
    if depth < 0 or not isinstance(value, (dict, list, tuple)):
        return value
    items = value.items() if isinstance(value, dict) else enumerate(value)
    changed = {key: made for key, part in items if (made := _exchanged(part, old, new, depth - 1)) is not part}
    if not changed:
        return value
    fresh = list(value) if isinstance(value, tuple) else _shallow(value)
    for key, made in changed.items():
        fresh[key] = made
    return tuple(fresh) if isinstance(value, tuple) else fresh


def _shallow(value: Any) -> Any:
    """Returns a copy of a container, with its attributes, such as the ``_metadata`` of a state dictionary."""
    fresh = copy.copy(value)
    if hasattr(value, "__dict__"):
        vars(fresh).update(vars(value))
    return fresh


def _like(old: Any, new: Tensor, shared: dict[Any, Any]) -> Any:
    """Returns new numbers in the type, kind and memory format of ``old``.

    Names that share their memory still do if their new numbers are equal, as those of tied layers; ``shared``
    remembers them.
    """
    if isinstance(old, np.ndarray):
        return new.numpy().astype(old.dtype)
    place = (old.untyped_storage().data_ptr(), old.storage_offset(), old.shape, old.stride(), old.dtype)
    made = torch.empty_like(old, requires_grad=False).copy_(new)
    if place in shared and torch.equal(shared[place].detach(), made):
        return shared[place]
    if isinstance(old, nn.Parameter):
        made = nn.Parameter(made, old.requires_grad)
    shared[place] = made.requires_grad_(old.requires_grad)
    return shared[place]
