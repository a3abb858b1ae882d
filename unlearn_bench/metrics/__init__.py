"""Metrics, one family a file: a function from :class:`ModelOutputs` to a float. None ever sees a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Literal, TypeVar
from weakref import WeakKeyDictionary

from unlearn_bench.outputs import ModelOutputs
from unlearn_bench.registry import Entry, Registry

T = TypeVar("T")
Better = Literal["higher", "lower", "near retrained"]


@dataclass(frozen=True)
class Metric(Entry):
    """A registered metric.

    Attributes:
        bounds: least and greatest value, in ``unit``.
        better: which way is good.
        unit: ``%`` for a share in percent, empty for a plain number.
        settings: those that the metric has a meaning for; empty for all.
    """

    bounds: tuple[float, float]
    better: Better
    unit: str
    settings: tuple[str, ...] = ()


metrics: Registry[Metric] = Registry("metric", __name__)


def metric(
    *,
    label: str,
    bounds: tuple[float, float],
    better: Better,
    source: str,
    unit: str = "",
    settings: tuple[str, ...] = (),
    version: int = 1,
) -> Callable[[Callable[[ModelOutputs], float]], Callable[[ModelOutputs], float]]:
    """Registers a metric under its function's name."""

    def register(function: Callable[[ModelOutputs], float]) -> Callable[[ModelOutputs], float]:
        metrics.add(Metric(function.__name__, label, source, function, bounds, better, unit, settings, version=version))
        return function

    return register


def once_per_outputs(function: Callable[[ModelOutputs], T]) -> Callable[[ModelOutputs], T]:
    """Returns ``function`` computed once for each outputs, so that metrics of one family share the work."""
    known: WeakKeyDictionary[ModelOutputs, T] = WeakKeyDictionary()

    @wraps(function)
    def shared(outputs: ModelOutputs) -> T:
        if outputs not in known:
            known[outputs] = function(outputs)
        return known[outputs]

    return shared
