"""What a run did while it ran: samples drawn, curves, progress, and the check that every loss is finite."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from unlearn_bench.errors import DivergedError
from unlearn_bench.progress import Progress, silent


@dataclass
class Journal:
    """Written by the batches and the training loop, read by the runner; a method need not know of it.

    Attributes:
        task: what progress is reported under.
        progress: told after every step.
        samples_seen: training images drawn so far, repeats counted.
        forward_images, backward_images: images that passed a classifier so far, see :mod:`unlearn_bench.budget`.
        seconds: wall time of the method, set by the runner.
        steps: steps so far: of an optimiser, or, of a method without one, batches gone through.
        planned_steps: steps in all, as far as they are known.
        curves: (step, name, value) in order.
        watch: given the network after every step that has one, by whom the run is traced.
        watch_seconds: wall time of watching, no part of ``seconds``.
    """

    task: str = ""
    progress: Progress = silent
    samples_seen: int = 0
    forward_images: int = 0
    backward_images: int = 0
    seconds: float = 0.0
    steps: int = 0
    planned_steps: int = 0
    curves: list[tuple[int, str, float]] = field(default_factory=list)
    watch: Callable[[Any], None] | None = None
    watch_seconds: float = 0.0

    def drew(self, samples: int) -> None:
        """Counts training images drawn."""
        self.samples_seen += samples

    def passed(self, *, forward: int = 0, backward: int = 0) -> None:
        """Counts images that passed through a classifier."""
        self.forward_images += forward
        self.backward_images += backward

    def plan(self, steps: int) -> None:
        """Announces steps to come."""
        self.planned_steps += steps

    def step(self, network: Any = None) -> None:
        """Counts a step, after which the method's network is ``network``."""
        self.steps += 1
        if self.watch is not None and network is not None:
            started = time.perf_counter()
            self.watch(network)
            self.watch_seconds += time.perf_counter() - started
        self.progress(self.task, self.steps, max(self.steps, self.planned_steps))

    def record(self, name: str, value: float) -> None:
        """Adds a point to a curve.

        Raises:
            DivergedError: the value is not finite.
        """
        value = float(value)  # of a tensor its number alone, not what it was computed from
        if not math.isfinite(value):
            raise DivergedError(f"{name} is {value} after {self.steps} steps")
        self.curves.append((self.steps, name, value))
