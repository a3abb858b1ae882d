"""Metrics, one family a file: a function from :class:`ModelOutputs` to a float. None ever sees a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal, TypeVar
from weakref import WeakKeyDictionary

from unlearn_bench.outputs import ModelOutputs
from unlearn_bench.registry import Entry, Registry

T = TypeVar("T")
Reads = Literal["features", "logits"]
About = Literal["forget", "retain"]
# columns of exported and loaded runs
TAKEN = {"run", "key", "status", "method", "dataset", "setting", "forget", "profile", "seed", "record", "finished_at"}
TAKEN |= {"error", "options", "seconds", "images", "trial", "traced", "code_version", "machine"}
Better = Literal["higher", "lower", "near retrained"]


@dataclass(frozen=True)
class Metric(Entry):
    """A registered metric.

    Attributes:
        bounds: least and greatest value, in ``unit``.
        better: which way is good.
        unit: ``%`` for a share in percent, empty for a plain number.
        settings: those that the metric has a meaning for; empty for all.
        reads: ``features`` or ``logits``, what the value is computed from.
        about: ``forget`` or ``retain``, the set that it speaks of.
        shows, hides: what it can show and what it cannot, a sentence each.
        alone: what its value tells without a retrained model, in a sentence.
    """

    bounds: tuple[float, float]
    better: Better
    unit: str
    settings: tuple[str, ...] = ()
    reads: Reads = "logits"
    about: About = "forget"
    shows: str = ""
    hides: str = ""
    alone: str = ""


metrics: Registry[Metric] = Registry("metric", __name__)


def metric(
    *,
    label: str,
    bounds: tuple[float, float],
    better: Better,
    source: str,
    unit: str = "",
    settings: tuple[str, ...] = (),
    reads: Reads = "logits",
    about: About = "forget",
    shows: str = "",
    hides: str = "",
    alone: str = "",
    version: int = 1,
) -> Callable[[Callable[[ModelOutputs], float]], Callable[[ModelOutputs], float]]:
    """Registers a metric under its function's name; see :class:`Metric` for what is said of it."""

    def register(function: Callable[[ModelOutputs], float]) -> Callable[[ModelOutputs], float]:
        if function.__name__ in TAKEN:
            raise ValueError(f"a metric cannot be named '{function.__name__}', as a column of every run is")
        says: dict[str, Any] = {
            "reads": reads,
            "about": about,
            "shows": shows,
            "hides": hides,
            "alone": alone,
            "version": version,
        }
        metrics.add(Metric(function.__name__, label, source, function, bounds, better, unit, settings, **says))
        return function

    return register


def metrics_of(setting: str) -> list[Metric]:
    """Returns the metrics that have a meaning in a setting, in order of their names."""
    return [each for each in metrics if not each.settings or setting in each.settings]


def once_per_outputs(function: Callable[[ModelOutputs], T]) -> Callable[[ModelOutputs], T]:
    """Returns ``function`` computed once for each outputs, so that metrics of one family share the work."""
    known: WeakKeyDictionary[ModelOutputs, T] = WeakKeyDictionary()

    @wraps(function)
    def shared(outputs: ModelOutputs) -> T:
        if outputs not in known:
            known[outputs] = function(outputs)
        return known[outputs]

    return shared
