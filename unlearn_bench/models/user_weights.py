"""Loads a file of weights of a user into a network of ours, and keeps the head of the network if the file's differs."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unlearn_bench.core.errors import CheckpointError
from unlearn_bench.models import Classifier
from unlearn_bench.models.external import External
from unlearn_bench.models.sources import make_module
from unlearn_bench.models.weight_choice import Candidate, candidates_of
from unlearn_bench.models.weight_files import SavedWeights, read_weights
from unlearn_bench.models.weight_formats import read_content


def load_weights(
    network: Classifier,
    file: Path,
    description: Mapping[str, Any],
    *,
    classes: int,
    key: str | None = None,
    keeps_head: bool = False,
) -> tuple[SavedWeights, str]:
    """Loads the weights of a file into ``network``; returns them and a sentence on its head.

    Args:
        network: of the description, on any device.
        file: see :func:`unlearn_bench.models.weight_formats.read_content`.
        description: see :func:`unlearn_bench.models.complete_model`.
        classes: K.
        key: which of several weights in the file to take; None to find them.
        keeps_head: whether a file whose head has another shape, or none, fits too: the network keeps its own.

    Returns:
        The content of the file; and how the head was replaced, empty if the file's is used.

    Raises:
        CheckpointError: see :func:`unlearn_bench.models.weight_files.read_weights`; or the network in the file
            normalises its inputs, and this one does not.
    """
    name = str(description["name"])
    plain: nn.Module = copy.deepcopy(network).cpu()
    head = "head"
    with torch.random.fork_rng(devices=[]):
        if isinstance(network, External):
            plain, head = make_module(description, classes), network.head_name
        replaced = _with_head_of(plain, head, file) if keeps_head else None
    saved = read_weights(plain, file, name, key)
    refuse_normalisation(saved, file, name)
    kept = f"{head}." if replaced is not None else None
    state = {own: value for own, value in saved.state.items() if kept is None or not own.startswith(kept)}
    if isinstance(network, External):
        network.load_own(state)
    else:
        network.load_state_dict(state, strict=False)
    network.is_pretrained = True
    sentence = f"{file.name} has {replaced}, and the images have {classes} classes: the head of {name} is drawn anew."
    return saved, sentence if replaced is not None else ""


def refuse_normalisation(saved: SavedWeights, file: Path, name: str) -> None:
    """Raises CheckpointError if the network in the file normalises its inputs, and the one of this name does not."""
    if saved.normalisation is not None:
        raise CheckpointError(
            f"{file.name} has buffers of a normalisation inside the network, which {name} lacks. Give a network that "
            "has it, such as FILE.py:FUNCTION, with normalise=none."
        )


def _with_head_of(plain: nn.Module, head: str, file: Path) -> str | None:
    """Gives ``plain`` a head like that of the file; returns what the file has, None if the head already fits.

    A file that differs in more than the head does not change the network, so that reading it names the differences.
    """
    candidates = candidates_of(read_content(file).value, plain.state_dict())
    near = [candidate for candidate in candidates if _differs_in(candidate, f"{head}.")]
    if not near or any(candidate.fit.fits for candidate in near):
        return None
    names, tensors = near[0].fit.names, near[0].tensors
    weight: Tensor | None = tensors[names[f"{head}.weight"]] if f"{head}.weight" in names else None
    parent, _, last = head.rpartition(".")
    if weight is None:
        setattr(plain.get_submodule(parent), last, nn.Identity())
        return "no head"
    if weight.dim() != 2:
        return None
    outputs, inputs = weight.shape
    setattr(plain.get_submodule(parent), last, nn.Linear(inputs, outputs, bias=f"{head}.bias" in names))
    return f"a head of {outputs} outputs"


def _differs_in(candidate: Candidate, prefix: str) -> bool:
    """Whether all differences between a dictionary of a file and the network are in a part of the network."""
    fit = candidate.fit
    own = {key: name for name, key in fit.names.items()}
    parts = [*fit.lacking, *(own[key] for key, *_ in fit.other)]
    return bool(fit.names) and not fit.unknown and all(name.startswith(prefix) for name in parts)
