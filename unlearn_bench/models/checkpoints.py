"""Tensors on disk: weights and outputs as safetensors files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save, save_file
from torch import Tensor, nn

from unlearn_bench.core.files import atomic_write, file_digest, is_intact


def write(tensors: Mapping[str, Tensor], folder: Path, key: str) -> tuple[str, str]:
    """Writes the file ``key`` and returns its name and SHA-256. The file is on disk before the function returns.

    Raises:
        FileError: the file cannot be written; an existing file of the same name does not change.
    """
    target = folder / f"{key}.safetensors"
    with atomic_write(target) as part:
        try:
            save_file({name: value.contiguous() for name, value in tensors.items()}, part)
        except SafetensorError as problem:  # safetensors raises it for errors of the system
            raise OSError(str(problem)) from None
        digest = file_digest(part)
    return target.name, digest


def export(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Writes a state dictionary for other programs: as safetensors if the name ends so, else by ``torch.save``.

    Raises:
        FileError: the file cannot be written; an existing file of the same name does not change.
    """
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    with atomic_write(file) as part:
        if file.suffix == ".safetensors":
            part.write_bytes(save(plain))
        else:
            torch.save(plain, part)


def read(file: Path, digest: str, device: torch.device) -> dict[str, Tensor] | None:
    """Returns the tensors of a file on ``device``; None if it is missing, has another SHA-256 or is not safetensors."""
    if not is_intact(file, digest):
        return None
    try:
        # copied: the memory of the file may start at any byte, which can change the last bit of a sum
        return {name: value.clone() for name, value in load_file(file, device=str(device)).items()}
    except SafetensorError:
        return None


def read_weights(network: nn.Module, file: Path, digest: str) -> bool:
    """Loads weights into ``network`` in evaluation mode. Returns whether the file is intact and fits the network."""
    tensors = read(file, digest, next(network.parameters()).device)
    if tensors is None:
        return False
    try:
        network.load_state_dict(tensors)
    except RuntimeError:
        return False
    network.eval()
    return True
