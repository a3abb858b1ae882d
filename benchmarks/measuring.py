"""What every benchmark here shares: alternatives in turn, medians, the machine's own peak, a table and a JSON file."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate

from unlearn_bench.core import environment
from unlearn_bench.training.devices import machine

RESULTS = Path(__file__).parent.parent / "results"
ROUNDS = 5


@dataclass(frozen=True)
class Line:
    """A figure with what was wanted of it; ``target`` reads ``≥ 2`` or ``≤ 0.4``, or is empty."""

    what: str
    value: float
    unit: str
    target: str = ""

    @property
    def verdict(self) -> str:
        """Whether the target is met; empty without one."""
        if not self.target:
            return ""
        sign, wanted = self.target.split()
        return "met" if (self.value >= float(wanted) if sign == "≥" else self.value <= float(wanted)) else "missed"


def in_turn(works: Mapping[str, Callable[[], Any]], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Returns the wall times of each piece of work, done in turn so that load and clock changes meet all alike.

    Each is done once before, untimed.
    """
    for work in works.values():
        work()
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def median(seconds: Sequence[float]) -> float:
    """Returns the median."""
    return statistics.median(seconds)


def gemm_peak(dtype: torch.dtype, rounds: int = 7, device: torch.device | None = None) -> float:
    """Returns the best rate, in GFLOP/s, of square matrix products of a type: on a CPU with the threads now set."""
    on_gpu = device is not None and device.type == "cuda"
    size = 8192 if on_gpu else 3072
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        product = a @ b
        if on_gpu:
            float(product[0, 0])  # waits for it
        best = min(best, time.perf_counter() - started)
    return 2 * size**3 / best / 1e9


def report(name: str, lines: Sequence[Line], details: Mapping[str, Any], folder: Path = RESULTS) -> None:
    """Prints the figures beside their targets, and writes them with machine, packages and load into a folder."""
    body = [[line.what, f"{line.value:.3g} {line.unit}".strip(), line.target, line.verdict] for line in lines]
    facts: dict[str, Any] = {
        "machine": machine(),
        "packages": environment.packages(),
        "code": environment.code_version(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }
    print(f"\n{name}: {facts['machine']}, torch {facts['packages']['torch']}, {facts['threads']} threads")
    print(tabulate(body, ["what", "measured", "target", ""], disable_numparse=True))
    figures = {line.what: {"value": line.value, "unit": line.unit, "target": line.target} for line in lines}
    (folder / f"bench-{name}.json").write_text(
        json.dumps({"figures": figures, **details, **facts}, indent=1, ensure_ascii=False) + "\n"
    )
