"""Weights on disk: safetensors, written durably, never read unless intact."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn


def write(network: nn.Module, folder: Path, key: str) -> tuple[str, str]:
    """Returns name and SHA-256 of the checkpoint ``key``, in place and on disk before any row names it.

    Raises:
        OSError: the folder cannot be written; a checkpoint of the same name stays as it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{key}.safetensors"
    part = folder / f".{key}.{os.getpid()}.part"
    try:
        save_file({name: value.contiguous() for name, value in network.state_dict().items()}, part)
        with part.open("r+b") as written:  # Windows flushes nothing that is open for reading alone
            os.fsync(written.fileno())
        digest = file_digest(part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target.name, digest


def read(network: nn.Module, file: Path, digest: str) -> bool:
    """Reads a checkpoint into ``network``; returns whether the file is there, has that SHA-256 and fits."""
    if not file.is_file() or file_digest(file) != digest:
        return False
    device = next(network.parameters()).device
    try:
        network.load_state_dict(load_file(file, device=str(device)))
    except (SafetensorError, RuntimeError):
        return False
    network.eval()
    return True


def file_digest(file: Path) -> str:
    """Returns the SHA-256 of a file."""
    content = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            content.update(block)
    return content.hexdigest()
