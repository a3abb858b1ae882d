"""Varies the options of a method, and measures how much its result changes."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from unlearn_bench.checks.conformance.observation import Observation, observe, short_options
from unlearn_bench.checks.conformance.test_bed import TestBed, weights
from unlearn_bench.core.errors import DivergedError, OptionError
from unlearn_bench.core.options import Option
from unlearn_bench.methods import Method
from unlearn_bench.models import Classifier

NOTICED = 1e-6  # a larger change of the weights, relative to how far the method moved them, is not rounding


def difference(
    first: Observation, second: Observation, test_bed: TestBed, method: Method, network: Classifier | None = None
) -> float:
    """Returns the distance of two results, relative to the distance of the first one from the start weights."""
    start = weights(test_bed.problem(method, network=network).original)
    a, b = weights(first.network), weights(second.network)
    return float((a - b).norm() / (a - start).norm().clamp(min=1e-30))


def run_of(
    method: Method, test_bed: TestBed, changes: Mapping[str, Any], network: Classifier | None = None
) -> Observation | None:
    """Returns the run of a method with changed options; None if they are out of range or the method diverges."""
    with contextlib.suppress(OptionError, DivergedError):
        return observe(method, test_bed.problem(method, network=network), short_options(method, **changes))
    return None


def changes_of(
    method: Method,
    test_bed: TestBed,
    option: Option,
    base: Mapping[str, Any],
    usual: Observation | None,
    network: Classifier | None = None,
) -> list[tuple[Any, float]]:
    """Returns other values of an option with the change of the result, up to the first value that changes it.

    Args:
        method: the method.
        test_bed: images and networks.
        option: the option to vary.
        base: other options that are changed too.
        usual: the run of the method with only ``base`` changed; None if it does not run.
        network: the trained network; None for the one with GroupNorm.
    """
    changes: list[tuple[Any, float]] = []
    if usual is None:
        return changes
    for value in others_of(option, short_options(method, **base)[option.name]):
        other = run_of(method, test_bed, {**base, option.name: value}, network)
        if other is not None:
            changes.append((value, difference(usual, other, test_bed, method, network)))
            if changes[-1][1] > (1e-3 if option.inert else NOTICED):
                break
    return changes


def is_choice(option: Option) -> bool:
    """Returns whether an option has named values."""
    return isinstance(option.default, bool) or bool(option.choices)


def others_of(option: Option, value: Any) -> list[Any]:
    """Returns other values of an option, the most different first; some may be out of range."""
    if isinstance(value, bool):
        return [not value]
    if option.choices:
        return [choice for choice in option.choices if choice != value]
    if isinstance(value, int):
        return [2 * value, value // 2, value // 8, value + 1, value - 1]
    if isinstance(value, float):
        return [10 * value, value / 10, 2 * value, value / 2] if value else [0.01, 1.0]
    return []
