"""The progress of commands: bars with the remaining time on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from unlearn_bench.core.logs import note

LINE_EVERY_SECONDS = 30.0  # between two plain lines of one task


class Watch:
    """Shows progress on standard error, so that standard output contains only results."""

    def __init__(self) -> None:
        self.console = Console(stderr=True)
        self._bars: Progress | None = None
        self._ids: dict[str, TaskID] = {}
        self._started: dict[str, tuple[float, int]] = {}  # time of the first call of a task, and what was done by then
        self._last_line: dict[str, float] = {}
        self._done: dict[str, int] = {}

    def __enter__(self) -> Watch:
        """Starts the bars, if standard error is a terminal."""
        if self.console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
            )
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clears the bars."""
        if self._bars:
            self._bars.stop()

    def __call__(self, task: str, done: int, total: int) -> None:
        """Shows that ``done`` of ``total`` units of ``task`` are done."""
        now = time.monotonic()
        if done < self._done.get(task, 0):  # another run with the same title started
            self._started[task], self._last_line[task] = (now, done), now
        self._done[task] = done
        started, before = self._started.setdefault(task, (now, done))
        if self._bars:
            if task not in self._ids:
                self._ids[task] = self._bars.add_task(task, total=total, completed=done)
            self._bars.update(self._ids[task], completed=done, total=total)
            if done >= total:
                self._bars.remove_task(self._ids.pop(task))
        elif now - self._last_line.setdefault(task, started) > LINE_EVERY_SECONDS and done < total:
            self._last_line[task] = now
            left = (now - started) / max(done - before, 1) * (total - done)
            self.say(f"{task}: {done} of {total}, about {left:.0f} s left")

    def say(self, line: str) -> None:
        """Prints a line above the bars, and writes it to the log."""
        note(line)
        if self._bars:
            self._bars.console.print(line, highlight=False, markup=False)
        else:
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()
