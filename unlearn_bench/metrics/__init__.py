"""Metrics, one family a file. A metric is a function from :class:`ModelOutputs` to a float; it never sees a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Literal, TypeVar
from weakref import WeakKeyDictionary

from unlearn_bench.core.errors import OptionError
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
        on_request: whether runs lack the metric until somebody asks for it, in a table of benchmarks.yaml or with
            ``--metric``. Other metrics are computed for every run.
        by_position: whether the positions of images decide which of them the metric reads. Data sets have a fixed
            order, so that the metric reads the same images of every model.
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
    on_request: bool = False
    by_position: bool = False

    def why_undefined(self, scenario: str) -> str:
        """Returns why the metric is not defined in a scenario, or an empty text if it is."""
        if self.scenarios and scenario not in self.scenarios:
            return f"it is defined only in the scenario {' or '.join(self.scenarios)}"
        return self.undefined.get(scenario, "")


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
    on_request: bool = False,
    by_position: bool = False,
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
            "on_request": on_request,
            "by_position": by_position,
            "version": version,
        }
        metrics.add(Metric(function.__name__, label, source, function, bounds, better, unit, scenarios, **description))
        return function

    return register


def metrics_of(scenario: str) -> list[Metric]:
    """Returns the metrics of every run of a scenario, in order of their names; those on request are left out.

    Example:
        >>> [entry.name for entry in metrics_of("class")][:3]
        ['acc_forget', 'acc_retain', 'da']
    """
    return [metric for metric in metrics if not metric.on_request and not metric.why_undefined(scenario)]


def requested(names: Iterable[str], scenario: str) -> tuple[str, ...]:
    """Returns those of the names that every run of a scenario lacks, once each: the metrics on request.

    Raises:
        UnknownNameError: there is no such metric.
        OptionError: a metric is not defined in the scenario.

    Example:
        >>> requested(["da", "knn_forget", "knn_forget"], "class")
        ('knn_forget',)
    """
    for name in names:
        if why := metrics.get(name).why_undefined(scenario):
            raise OptionError(
                f"The metric '{name}' has no value in the scenario '{scenario}': {why}. Choose another one; see "
                "`unlearn-bench list metrics`."
            )
    return tuple(name for name in dict.fromkeys(names) if metrics.get(name).on_request)


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
