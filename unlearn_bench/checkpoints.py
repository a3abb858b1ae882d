"""Tensors on disk: weights and outputs, as safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from unlearn_bench.artefacts import durable, file_digest, is_intact


def write(tensors: Mapping[str, Tensor], folder: Path, key: str) -> tuple[str, str]:
    """Returns name and SHA-256 of the file ``key``, in place and on disk before any row names it.

    Raises:
        FileError: the file cannot be written; one of the same name stays as it was.
    """
    target = folder / f"{key}.safetensors"
    with durable(target) as part:
        try:
            save_file({name: value.contiguous() for name, value in tensors.items()}, part)
        except SafetensorError as problem:  # so it calls what the system refuses
            raise OSError(str(problem)) from None
        digest = file_digest(part)
    return target.name, digest


def read(file: Path, digest: str, device: torch.device) -> dict[str, Tensor] | None:
    """Returns the tensors of a file on ``device``, or None where it is missing, has another SHA-256 or is none."""
    if not is_intact(file, digest):
        return None
    try:
        # copied: the file's own memory may begin at any byte, which can change the last bit of a sum
        return {name: value.clone() for name, value in load_file(file, device=str(device)).items()}
    except SafetensorError:
        return None


def read_weights(network: nn.Module, file: Path, digest: str) -> bool:
    """Reads weights into ``network``, in evaluation mode; returns whether the file is intact and fits."""
    found = read(file, digest, next(network.parameters()).device)
    if found is None:
        return False
    try:
        network.load_state_dict(found)
    except RuntimeError:
        return False
    network.eval()
    return True
