"""Saves the state of a training every minute, so that an interrupted training goes on from it with the same bits."""

from __future__ import annotations

import copy
import io
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pickle import UnpicklingError
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from unlearn_bench.core.errors import CheckpointError, FileError
from unlearn_bench.data.batches import Batches
from unlearn_bench.training.monitor import RunMonitor

SAVE_SECONDS = 60.0  # between two saved states
LARGEST_SHARE = 0.02  # of the time that saving may take; a slow disk saves less often
UNFIT = (CheckpointError, UnpicklingError, EOFError, *(KeyError, ValueError, TypeError, RuntimeError, AttributeError))

AfterStep = Callable[[Sequence[Tensor]], None]


class StateFile(Protocol):
    """A place for the state of one training."""

    @property
    def title(self) -> str: ...

    def read(self) -> bytes | None: ...

    def write(self, content: bytes, step: int, steps: int) -> None: ...


class Observer(Protocol):
    """What watches a method: it does not take saving for an act of the method, and its findings are saved too."""

    def paused(self) -> AbstractContextManager[None]: ...

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True)
class Begun:
    """How far a training is.

    Attributes:
        epoch: the epoch in progress, from 0.
        losses: of the steps of this epoch so far, scalars.
    """

    epoch: int = 0
    losses: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class _Training:
    """What a training changes. Other state, such as that of Python's own generators, is not saved."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    batches: Batches
    monitor: RunMonitor
    observer: Observer

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def state(self) -> dict[str, Any]:
        """Returns the state, without copying tensors."""
        return {
            "network": self.network.state_dict(),
            "unnamed": self._unnamed(),
            "optimizer": self.optimizer.state_dict(),
            "batches": self.batches.state(),
            "random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
            "observer": self.observer.state(),
            "monitor": self.monitor.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Sets the state; it raises one of ``UNFIT`` if the state does not fit."""
        self.network.load_state_dict(state["network"])
        for name, value in self._unnamed().items():
            value.copy_(state["unnamed"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.batches.restore(state["batches"])
        torch.set_rng_state(state["random"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_random"], self.device)
        self.observer.restore(state["observer"])
        self.monitor.restore(state["monitor"])

    def _unnamed(self) -> dict[str, Tensor]:
        """Returns the buffers that checkpoints leave out."""
        named = self.network.state_dict().keys()
        return {name: value for name, value in self.network.named_buffers() if name not in named}


class SavedTraining:
    """Keeps the first training of a run in a file.

    Code before the training runs again when the run goes on; what it does must depend on nothing but the problem.
    """

    def __init__(self, file: StateFile, monitor: RunMonitor, observer: Observer, every: float = SAVE_SECONDS) -> None:
        """Takes the file, who watches the run, and the seconds between two saved states; 0 saves after every step."""
        self._file = file
        self._monitor = monitor
        self._observer = observer
        self._every = every
        self._has_begun = self._has_complained = False
        self._last, self._cost = time.monotonic(), 0.0  # of the last save: when it ended, and its seconds

    def begin(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, batches: Batches
    ) -> tuple[Begun, Callable[[int], AfterStep | None]]:
        """Sets a training to its saved state, if there is one that fits, in place.

        Returns:
            How far the training is, and a function that returns, for an epoch, what to call after each of its steps.
        """
        if self._has_begun:
            return Begun(), lambda _epoch: None
        self._has_begun = True
        training = _Training(network, optimizer, batches, self._monitor, self._observer)
        with self._observer.paused():
            begun = self._restore(training)
        self._last = time.monotonic()
        return begun, lambda epoch: partial(self._after_step, training, epoch)

    def _restore(self, training: _Training) -> Begun:
        before = None
        try:
            content = self._file.read()
            if content is None:
                return Begun()
            before = copy.deepcopy(training.state())
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            losses = tuple(state["losses"].to(training.device).unbind())
            begun = Begun(int(state["epoch"]), losses)
            training.restore(state)
        except UNFIT as problem:
            if before is not None:
                training.restore(before)
            reason = str(problem) if isinstance(problem, CheckpointError) else "the saved state does not fit"
            self._monitor.say(f"{self._file.title}: starts from its first step, because {reason}.")
            return Begun()
        monitor = self._monitor
        monitor.resumed += 1
        monitor.record("resumed", monitor.resumed)
        monitor.say(f"{self._file.title}: goes on from step {monitor.steps:,} of {monitor.planned_steps:,}.")
        return begun

    def _after_step(self, training: _Training, epoch: int, losses: Sequence[Tensor]) -> None:
        wait = max(self._every, self._cost / LARGEST_SHARE) if self._every else 0.0
        if time.monotonic() - self._last >= wait:
            with self._observer.paused():
                self._save(training, epoch, losses)

    def _save(self, training: _Training, epoch: int, losses: Sequence[Tensor]) -> None:
        monitor = self._monitor
        if training.device.type == "cuda":
            torch.cuda.synchronize(training.device)  # the steps so far count as time of the method
        state = {**training.state(), "epoch": epoch, "losses": torch.stack(list(losses))}
        started = time.perf_counter()
        content = io.BytesIO()
        torch.save(state, content)
        try:
            self._file.write(content.getvalue(), monitor.steps, monitor.planned_steps)
        except FileError as problem:
            if not self._has_complained:
                monitor.say(f"{self._file.title}: its progress is not saved, and the training goes on. {problem}")
            self._has_complained = True
        self._last, self._cost = time.monotonic(), time.perf_counter() - started
        monitor.saving_seconds += self._cost
