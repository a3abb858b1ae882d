"""Other values of a method's options, and how far they move its result."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from unlearn_bench.conformance.observation import Observation, observe, short_options
from unlearn_bench.conformance.scene import Scene, weights
from unlearn_bench.errors import DivergedError, OptionError
from unlearn_bench.methods import Method
from unlearn_bench.options import Option

NOTICED = 1e-6  # a change of the weights, as a share of how far they moved, that is more than rounding


def difference(one: Observation, other: Observation, scene: Scene, method: Method) -> float:
    """Returns how far two results lie apart, as a share of how far the first one moved."""
    start = weights(scene.problem(method).original)
    a, b = weights(one.network), weights(other.network)
    return float((a - b).norm() / (a - start).norm().clamp(min=1e-30))


def run_of(method: Method, scene: Scene, changes: Mapping[str, Any]) -> Observation | None:
    """Returns what a method does with some options changed; None where they are out of range, or too much for it."""
    with contextlib.suppress(OptionError, DivergedError):
        return observe(method, scene.problem(method), short_options(method, **changes))
    return None


def changes_of(
    method: Method, scene: Scene, option: Option, base: Mapping[str, Any], usual: Observation | None
) -> list[tuple[Any, float]]:
    """Returns other values of an option with how far each moves the result, up to the first that moves it.

    Args:
        base: other options that are changed beside it.
        usual: what the method does with ``base`` alone; None where that does not run.
    """
    found: list[tuple[Any, float]] = []
    if usual is None:
        return found
    for value in others_of(option, short_options(method, **base)[option.name]):
        other = run_of(method, scene, {**base, option.name: value})
        if other is not None:
            found.append((value, difference(usual, other, scene, method)))
            if found[-1][1] > (1e-3 if option.inert else NOTICED):
                break
    return found


def is_choice(option: Option) -> bool:
    """Returns whether an option has named values."""
    return isinstance(option.default, bool) or bool(option.choices)


def others_of(option: Option, value: Any) -> list[Any]:
    """Returns other values of an option, the most different first; some may be out of its range."""
    if isinstance(value, bool):
        return [not value]
    if option.choices:
        return [choice for choice in option.choices if choice != value]
    if isinstance(value, int):
        return [2 * value, value // 2, value // 8, value + 1, value - 1]
    if isinstance(value, float):
        return [10 * value, value / 10, 2 * value, value / 2] if value else [0.01, 1.0]
    return []
