"""Restores PyTorch's global settings after a run, so that no run changes the numbers of the next one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from threadpoolctl import threadpool_limits


@contextlib.contextmanager
def isolated() -> Iterator[None]:
    """Restores the settings of the process at the end: a method or metric of a plug-in may change them."""
    backends: list[tuple[Any, str]] = [
        (torch.backends.cudnn, name) for name in ("deterministic", "benchmark", "allow_tf32")
    ]
    backends += [(torch.backends.cuda.matmul, "allow_tf32")]
    flags = [(backend, name, getattr(backend, name)) for backend, name in backends]
    threads, dtype, device = torch.get_num_threads(), torch.get_default_dtype(), torch.get_default_device()
    deterministic, warns = _determinism()
    with torch.set_grad_enabled(torch.is_grad_enabled()):
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.set_default_dtype(dtype)
            if torch.get_default_device() != device:
                torch.set_default_device(device)
            if (deterministic, warns) != _determinism():  # setting it imports torch's compiler, which takes seconds
                torch.use_deterministic_algorithms(deterministic, warn_only=warns)
            for backend, name, value in flags:
                setattr(backend, name, value)


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Limits every library to ``count`` CPU threads, which fixes the order of their sums; includes :func:`isolated`."""
    with isolated(), threadpool_limits(count):
        torch.set_num_threads(count)
        yield


def _determinism() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
