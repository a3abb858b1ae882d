"""Scores of likeness, one family a file: functions from a model's and the retrained model's outputs to a float.

A metric reads the outputs of one model; a score of likeness compares them, image by image, with those of the model
retrained without the forget set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from unlearn_bench.core.registry import Entry, Registry
from unlearn_bench.metrics import About, Reads
from unlearn_bench.models.outputs import ModelOutputs

Compare = Callable[[ModelOutputs, ModelOutputs], float]


@dataclass(frozen=True)
class Comparison(Entry):
    """A registered score of likeness, a function (outputs, outputs of the retrained model).

    Attributes:
        bounds: least and greatest value, in ``unit``.
        best: the value of a model whose outputs equal the retrained model's, one of ``bounds``.
        unit: ``%`` for a share in percent, empty for a plain number.
        reads: ``features`` or ``logits``, what the value is computed from.
        about: ``forget`` or ``retain``, the set that the value describes.
        shows, hides: what the value can show and what it cannot, and which cheats pass it, a sentence each.
        undefined: the scenarios in which the score is not defined, each with the reason.
    """

    bounds: tuple[float, float]
    best: float
    unit: str = ""
    reads: Reads = "logits"
    about: About = "forget"
    shows: str = ""
    hides: str = ""
    undefined: Mapping[str, str] = field(default_factory=dict)

    @property
    def better(self) -> str:
        """Which values are good: ``higher`` or ``lower``."""
        return "higher" if self.best == max(self.bounds) else "lower"


comparisons: Registry[Comparison] = Registry("score of likeness", __name__)


def comparison(
    *,
    label: str,
    bounds: tuple[float, float],
    best: float,
    source: str,
    unit: str = "",
    reads: Reads = "logits",
    about: About = "forget",
    shows: str = "",
    hides: str = "",
    undefined: Mapping[str, str] | None = None,
    version: int = 1,
) -> Callable[[Compare], Compare]:
    """Registers a score of likeness under its function's name; see :class:`Comparison` for the arguments.

    The function raises ``UnmeasurableError`` of ``unlearn_bench.core.errors`` where two models have no value.
    """
    if best not in bounds:
        raise ValueError(f"the best value is {best:g}, expected one of the bounds, {bounds[0]:g} or {bounds[1]:g}")

    def register(function: Compare) -> Compare:
        described = (unit, reads, about, shows, hides, undefined or {})
        comparisons.add(
            Comparison(function.__name__, label, source, function, bounds, best, *described, version=version)
        )
        return function

    return register


def comparisons_of(scenario: str) -> list[Comparison]:
    """Returns the scores of likeness that are defined in a scenario, in order of their names.

    Example:
        >>> [entry.name for entry in comparisons_of("class")][:3]
        ['activation_distance', 'activation_distance_retain', 'agreement_forget']
    """
    return [entry for entry in comparisons if scenario not in entry.undefined]
