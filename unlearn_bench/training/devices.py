"""The device of runs: its choice, its description, repeatable operations, and its memory."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F

from unlearn_bench.core.errors import OptionError
from unlearn_bench.training.monitor import RunMonitor


def choose_device(name: str) -> torch.device:
    """Returns the device of that name; ``auto`` is the first GPU, or the CPU if there is none.

    On a GPU, float32 operations use full float32 precision (no TF32), and operations are repeatable where PyTorch can.

    Raises:
        OptionError: the name is not a device, not available on this machine, or neither a CPU nor a CUDA GPU.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):  # metrics need float64, which other devices lack
            raise RuntimeError
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise OptionError(
            f"Device '{name}' is not available on this machine. Use --device auto, cpu, cuda or cuda:N."
        ) from None
    if device.type == "cuda":
        _make_repeatable()
    return device


def _make_repeatable() -> None:
    """Makes a GPU use deterministic operations where PyTorch has them; PyTorch warns of each operation without one.

    Source: PyTorch's notes on reproducibility; benchmarks/reproducibility.py measures the effect.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it starts
    torch.use_deterministic_algorithms(True, warn_only=True)  # a plug-in may need an operation without one
    # otherwise PyTorch fills new memory, which costs time; nothing here reads uninitialised memory
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # unknown to mypy
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


@cache
def bfloat16_slowdown() -> float:
    """Returns the time of a bfloat16 convolution divided by that of a float32 one, measured once on this CPU.

    A processor with instructions for bfloat16 (AMX, AVX-512 BF16) has a ratio below 1. Without them it can exceed 40.
    """
    x, weight = torch.ones(16, 64, 16, 16), torch.ones(64, 64, 3, 3)
    seconds: dict[torch.dtype, float] = {}
    for dtype in (torch.float32, torch.bfloat16):
        inputs, filters = x.to(dtype), weight.to(dtype)
        for _ in range(3):  # the first call also prepares the kernel
            began = time.perf_counter()
            F.conv2d(inputs, filters, padding=1)
            seconds[dtype] = min(seconds.get(dtype, float("inf")), time.perf_counter() - began)
    return seconds[torch.bfloat16] / seconds[torch.float32]


def describe_device(device: torch.device) -> str:
    """Returns the device's description in the database: ``cpu``, or the type and model of a GPU."""
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type


@lru_cache(maxsize=1)
def machine() -> str:
    """Returns operating system, architecture, processor and instruction set, which affect the last digits on a CPU."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    return f"{platform.system()} {platform.machine()}, {processor}, {torch.backends.cpu.get_cpu_capability()}"


@contextmanager
def timed(monitor: RunMonitor, device: torch.device) -> Iterator[None]:
    """Measures the seconds of a method on a synchronised device, and starts to measure the peak memory of a GPU."""
    is_gpu = device.type == "cuda"
    if is_gpu:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    monitor.start_clock()
    try:
        yield
    finally:
        if is_gpu:
            torch.cuda.synchronize(device)
        monitor.seconds = monitor.elapsed()


def peak_memory_bytes(device: torch.device) -> int | None:
    """Returns the peak memory: of a GPU since its counter was reset, else of this process since its start."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return None  # the standard library has no function for it on Windows
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kibibytes
