"""Metrics, one family a file. A metric is a function from :class:`ModelOutputs` to a float; it never sees a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Literal, TypeVar
from weakref import WeakKeyDictionary

from unlearn_bench.core.registry import Entry, Registry
from unlearn_bench.models.outputs import ModelOutputs

T = TypeVar("T")
Reads = Literal["features", "logits"]
About = Literal["forget", "retain"]
# columns of exported and loaded runs
TAKEN = {"run", "key", "status", "method", "dataset", "scenario", "forget", "profile", "seed", "record", "finished_at"}
TAKEN |= {"version", "error", "options", "seconds", "images", "trial", "traced", "code_version", "machine"}
Better = Literal["higher", "lower", "near retrained"]


@dataclass(frozen=True)
class Metric(Entry):
    """A registered metric.

    Attributes:
        bounds: least and greatest value, in ``unit``.
        better: which values are good.
        unit: ``%`` for a share in percent, empty for a plain number.
        scenarios: the scenarios in which the metric is defined; empty for all.
        reads: ``features`` or ``logits``, what the value is computed from.
        about: ``forget`` or ``retain``, the set that the value describes.
        shows, hides: what the value can show and what it cannot, a sentence each.
        without_reference: how to read the value without a retrained model, in a sentence.
        undefined: the scenarios in which the metric is not defined, each with the reason.
    """

    bounds: tuple[float, float]
    better: Better
    unit: str
    scenarios: tuple[str, ...] = ()
    reads: Reads = "logits"
    about: About = "forget"
    shows: str = ""
    hides: str = ""
    without_reference: str = ""
    undefined: Mapping[str, str] = field(default_factory=dict)


metrics: Registry[Metric] = Registry("metric", __name__)


def metric(
    *,
    label: str,
    bounds: tuple[float, float],
    better: Better,
    source: str,
    unit: str = "",
    scenarios: tuple[str, ...] = (),
    reads: Reads = "logits",
    about: About = "forget",
    shows: str = "",
    hides: str = "",
    without_reference: str = "",
    undefined: Mapping[str, str] | None = None,
    version: int = 1,
) -> Callable[[Callable[[ModelOutputs], float]], Callable[[ModelOutputs], float]]:
    """Registers a metric under its function's name; see :class:`Metric` for the arguments."""

    def register(function: Callable[[ModelOutputs], float]) -> Callable[[ModelOutputs], float]:
        if function.__name__ in TAKEN:
            raise ValueError(f"a metric cannot be named '{function.__name__}': every run has a column of that name")
        description: dict[str, Any] = {
            "reads": reads,
            "about": about,
            "shows": shows,
            "hides": hides,
            "without_reference": without_reference,
            "undefined": undefined or {},
            "version": version,
        }
        metrics.add(Metric(function.__name__, label, source, function, bounds, better, unit, scenarios, **description))
        return function

    return register


def metrics_of(scenario: str) -> list[Metric]:
    """Returns the metrics that are defined in a scenario, in order of their names.

    Example:
        >>> [entry.name for entry in metrics_of("class")][:3]
        ['acc_forget', 'acc_retain', 'da']
    """
    defined = (metric for metric in metrics if not metric.scenarios or scenario in metric.scenarios)
    return [metric for metric in defined if scenario not in metric.undefined]


def once_per_outputs(function: Callable[[ModelOutputs], T]) -> Callable[[ModelOutputs], T]:
    """Returns ``function`` with its result cached for each outputs object, so that a family's metrics share the work.

    Example:
        >>> import torch
        >>> from unlearn_bench.models.outputs import Outputs
        >>> part = Outputs(torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([0]))
        >>> outputs = ModelOutputs(part, part, part, part)
        >>> count = once_per_outputs(lambda outputs: print("computed") or len(outputs.forget))
        >>> count(outputs) + count(outputs)
        computed
        2
    """
    results: WeakKeyDictionary[ModelOutputs, T] = WeakKeyDictionary()

    @wraps(function)
    def shared(outputs: ModelOutputs) -> T:
        if outputs not in results:
            results[outputs] = function(outputs)
        return results[outputs]

    return shared
