"""Tensors in files: weights and outputs as safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save, save_file
from torch import Tensor, nn

from unlearn_bench.core.artefacts import SUFFIX, Artefacts
from unlearn_bench.core.files import atomic_write


def write(tensors: Mapping[str, Tensor], files: Artefacts, key: str) -> tuple[str, str]:
    """Writes the file ``key`` and returns its name and SHA-256. The file is stored before the function returns.

    Raises:
        FileError, StorageError: the file cannot be written; an existing file of the same name does not change.
    """

    def fill(part: Path) -> None:
        try:
            save_file({name: value.contiguous() for name, value in tensors.items()}, part)
        except SafetensorError as problem:  # safetensors raises it for errors of the system
            raise OSError(str(problem)) from None

    name = f"{key}{SUFFIX}"
    return name, files.write(name, fill)


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


def read(files: Artefacts, name: str, digest: str, device: torch.device) -> dict[str, Tensor] | None:
    """Returns the tensors of a file on ``device``; None if it is missing, has another SHA-256 or is not safetensors.

    Raises:
        StorageError: shared storage cannot be reached.
    """
    file = files.find(name, digest)
    if file is None:
        return None
    try:
        # copied: the memory of the file may start at any byte, which can change the last bit of a sum
        return {name: value.clone() for name, value in load_file(file, device=str(device)).items()}
    except SafetensorError:
        return None


def read_weights(network: nn.Module, files: Artefacts, name: str, digest: str) -> bool:
    """Loads weights into ``network`` in evaluation mode. Returns whether the file is intact and fits the network."""
    tensors = read(files, name, digest, next(network.parameters()).device)
    if tensors is None:
        return False
    try:
        network.load_state_dict(tensors)
    except RuntimeError:
        return False
    network.eval()
    return True
