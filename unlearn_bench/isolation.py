"""PyTorch's global settings, held while code runs that may change them: a run's numbers depend on no run before it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from threadpoolctl import threadpool_limits


@contextlib.contextmanager
def isolated() -> Iterator[None]:
    """Puts back at the end what a method or a metric, which may be anyone's, has changed for the whole process."""
    backends: list[tuple[Any, str]] = [
        (torch.backends.cudnn, name) for name in ("deterministic", "benchmark", "allow_tf32")
    ]
    backends += [(torch.backends.cuda.matmul, "allow_tf32")]
    flags = [(backend, name, getattr(backend, name)) for backend, name in backends]
    threads, dtype, device = torch.get_num_threads(), torch.get_default_dtype(), torch.get_default_device()
    deterministic, warns = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    with torch.set_grad_enabled(torch.is_grad_enabled()):
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.set_default_dtype(dtype)
            if torch.get_default_device() != device:
                torch.set_default_device(device)
            torch.use_deterministic_algorithms(deterministic, warn_only=warns)
            for backend, name, value in flags:
                setattr(backend, name, value)


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Holds every library to ``count`` CPU threads, which fixes the order of their sums; isolated besides."""
    with isolated(), threadpool_limits(count):
        torch.set_num_threads(count)
        yield
