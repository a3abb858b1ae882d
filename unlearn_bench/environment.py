"""What a run ran on: versions, machine, device; and the choice of the device."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import torch

from unlearn_bench import __version__
from unlearn_bench.errors import OptionError

PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "sqlalchemy")


def choose_device(name: str) -> torch.device:
    """Returns the device of that name; ``auto`` is the first GPU where there is one.

    On a GPU, float32 is made to mean float32 (no TF32), and every operation to be repeatable that can be.

    Raises:
        OptionError: not a device, not one of this machine, or neither a CPU nor a CUDA GPU.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):  # metrics are taken in float64, which others lack
            raise RuntimeError
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise OptionError(f"Device '{name}' is not on this machine. Give --device auto, cpu, cuda or cuda:N.") from None
    if device.type == "cuda":
        _make_repeatable()
    return device


def _make_repeatable() -> None:
    """Has a GPU add in one order, where PyTorch knows how; it warns of each operation for which it does not.

    Source: PyTorch's notes on reproducibility; benchmarks/reproducibility.py measures what comes of it.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read by cuBLAS when it starts
    torch.use_deterministic_algorithms(True, warn_only=True)  # a plug-in's method may need what has no such form
    # else it would fill new memory: nothing here reads any that nobody wrote
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # unknown to mypy
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def describe_device(device: torch.device) -> str:
    """Returns a device as it stands in the record: ``cpu``, or the type and model of a GPU."""
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type


@lru_cache(maxsize=1)
def packages() -> dict[str, str]:
    """Returns the versions of Python and of every package that enters a number."""
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


@lru_cache(maxsize=1)
def machine() -> str:
    """Returns operating system, architecture, processor and instruction set, which decide the last digits on a CPU."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    return f"{platform.system()} {platform.machine()}, {processor}, {torch.backends.cpu.get_cpu_capability()}"


@lru_cache(maxsize=1)
def code_version() -> str:
    """Returns our version, with the commit where the code runs from a checkout, marked where files are changed."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return __version__
    try:
        described = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return __version__
    return f"{__version__}+{described.stdout.strip()}"


def peak_memory_bytes(device: torch.device) -> int | None:
    """Returns the most memory held: of a GPU since its counter was reset, else of this process since its start."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return None  # the standard library does not tell there
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kibibytes
