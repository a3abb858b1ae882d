"""Monitoring of a run: samples, passes, steps, curves, progress, and the check that every loss is finite."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from unlearn_bench.core.errors import DivergedError
from unlearn_bench.core.progress import Progress, silent

COUNTERS = ("samples_seen", "forward_images", "backward_images", "steps", "planned_steps", "resumed")  # of a state


@dataclass
class RunMonitor:
    """Counters and curves of a run. Batches and the training loop write them, and the runner reads them.

    A method that uses the methods of its problem does not need to call the monitor.

    Attributes:
        task: name of the task in progress reports.
        progress: called after every step.
        samples_seen: training images drawn so far, including repeats.
        forward_images, backward_images: images that passed a classifier so far, see
            :mod:`unlearn_bench.training.pass_counter`.
        seconds: wall time of the method, set by the runner.
        steps: steps so far: of an optimizer, or, for a method without one, processed batches.
        planned_steps: total number of steps announced so far.
        curves: (step, name, value) in order.
        watch: called with the network after every step that has one, to trace the run.
        watch_seconds: wall time of ``watch``, not part of ``seconds``.
        saving_seconds: wall time of saving the training in progress, not part of ``seconds``.
        say: called with a sentence for the user.
        resumed: how often the run was interrupted and went on from a saved state.
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
    saving_seconds: float = 0.0
    say: Callable[[str], None] = field(default=lambda _sentence: None)
    resumed: int = 0
    _started: float = field(default_factory=time.perf_counter)

    def start_clock(self) -> None:
        """Starts to measure :meth:`elapsed`."""
        self._started = time.perf_counter()

    def elapsed(self) -> float:
        """Returns the wall time of the method so far, in seconds, with the time before interruptions."""
        return time.perf_counter() - self._started - self.watch_seconds - self.saving_seconds

    def state(self) -> dict[str, Any]:
        """Returns the counters, the curves and the elapsed time."""
        return {**{name: getattr(self, name) for name in COUNTERS}, "curves": list(self.curves), "now": self.elapsed()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Sets the counters, the curves and the elapsed time."""
        for name in COUNTERS:
            setattr(self, name, int(state[name]))
        self.curves[:] = [(int(step), str(name), float(value)) for step, name, value in state["curves"]]
        self._started -= float(state["now"]) - self.elapsed()

    def add_samples(self, samples: int) -> None:
        """Counts drawn training images."""
        self.samples_seen += samples

    def add_passes(self, *, forward: int = 0, backward: int = 0) -> None:
        """Counts images that passed through a classifier."""
        self.forward_images += forward
        self.backward_images += backward

    def plan(self, steps: int) -> None:
        """Announces future steps."""
        self.planned_steps += steps

    def step(self, network: Any = None) -> None:
        """Counts a step; ``network`` is the method's network after it."""
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
        value = float(value)  # of a tensor only its number, not its graph
        if not math.isfinite(value):
            raise DivergedError(f"{name} is {value} after {self.steps} steps")
        self.curves.append((self.steps, name, value))
