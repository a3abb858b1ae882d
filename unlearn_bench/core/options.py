"""Hyper-parameters read from a function's signature: its keyword-only arguments are its options.

An annotation gives type, range and help: ``lr: Annotated[float, Field(gt=0, le=10, description="learning rate")]``.
pydantic validates values against it, so a wrong value is refused before training starts.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from unlearn_bench.core.errors import OptionError, did_you_mean


@dataclass(frozen=True)
class Inert:
    """Marks an option, in its annotation, that limits memory or time and does not change results."""


@dataclass(frozen=True)
class Added:
    """Marks an option, in its annotation, that was added after runs were recorded.

    At its default value, the option is not part of a run's identity, see :func:`identity`, so old runs keep their keys.
    The default must therefore reproduce the earlier behaviour, and it must never change.
    """


@dataclass(frozen=True)
class Search:
    """Marks an option, in its annotation, for tuning and gives its search range.

    Attributes:
        low, high: bounds of the range, both inclusive.
        log: whether to sample on a logarithmic scale.
    """

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Option:
    """One hyper-parameter, for display: ``type``, ``range`` and ``help`` are text.

    Attributes:
        choices: the allowed values of an option with a fixed set of values.
        inert: whether the option does not change results.
        added: whether a run's identity leaves out the option at its default value.
        search: the range that tuning searches; None if the option is not tuned.
    """

    name: str
    type: str
    default: Any
    range: str
    help: str
    choices: tuple[Any, ...] = ()
    inert: bool = False
    added: bool = False
    search: Search | None = None


def parse_pairs(sets: Sequence[str], option: str = "--set", example: str = "lr=0.01") -> dict[str, str]:
    """Returns the values of a command-line option, each ``NAME=VALUE``, by name.

    Args:
        sets: the words after each ``option``.
        option, example: for messages.

    Raises:
        OptionError: a word is of another form.
    """
    pairs = [item.partition("=") for item in sets]
    for item, (name, sign, _) in zip(sets, pairs, strict=True):
        if not name or not sign:
            raise OptionError(f"{option} {item} is not of the form NAME=VALUE. Write it as in {option} {example}.")
    return {name.strip(): value.strip() for name, _, value in pairs}


def plain_value(word: Any) -> Any:
    """Returns the number, boolean or list that a word of a command line stands for as JSON; anything else unchanged.

    >>> plain_value("8"), plain_value("true"), plain_value("gelu"), plain_value(0.5)
    (8, True, 'gelu', 0.5)
    """
    try:
        return json.loads(word, parse_constant=str, parse_float=_finite) if isinstance(word, str) else word
    except ValueError:
        return word


def _finite(word: str) -> float | str:
    return float(word) if math.isfinite(float(word)) else word


def complete(function: Callable[..., Any], values: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """Returns all options of ``function``: ``values``, validated and converted, and defaults for the others.

    Args:
        function: its keyword-only arguments are the options.
        values: values by option name. Strings from a command line are converted ("1e-2" to 0.01).
        owner: what the options belong to, for messages ("method 'muda'").

    Raises:
        OptionError: an unknown name, a wrong type, or a value out of range.
    """
    try:
        return _schema(function)(**values).model_dump()
    except ValidationError as problem:
        first = problem.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "?"
        options = {option.name: option for option in describe(function)}
        if first["type"] == "extra_forbidden":
            names = ", ".join(options) or "none"
            raise OptionError(
                f"The {owner} has no option '{name}'.{did_you_mean(name, options)} Its options: {names}."
            ) from None
        option = options[name]
        expected = f"{option.type} {option.range}".strip()
        raise OptionError(
            f"Option '{name}' of the {owner} is {values.get(name)!r}, expected {expected}; "
            f"the default is {option.default}."
        ) from None


def describe(function: Callable[..., Any]) -> list[Option]:
    """Returns the options of ``function`` in the order of its signature."""
    options = []
    for name, field in _schema(function).model_fields.items():
        bounds = [_bound(constraint) for constraint in field.metadata]
        kind = field.annotation
        choices = get_args(kind) if get_origin(kind) is Literal else ()
        options.append(
            Option(
                name=name,
                type=f"one of {' or '.join(str(choice) for choice in choices)}"
                if choices
                else getattr(kind, "__name__", str(kind)),
                default=field.default,
                range=", ".join(bound for bound in bounds if bound),
                help=field.description or "",
                choices=choices,
                inert=any(isinstance(mark, Inert) for mark in field.metadata),
                added=any(isinstance(mark, Added) for mark in field.metadata),
                search=next((mark for mark in field.metadata if isinstance(mark, Search)), None),
            )
        )
    return options


def identity(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options that identify a run: all except those marked :class:`Added` at their default value."""
    unset = {option.name: option.default for option in describe(function) if option.added}
    return {name: value for name, value in options.items() if name not in unset or value != unset[name]}


def changed(function: Callable[..., Any], options: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options that differ from ``base`` or, for options that ``base`` lacks, from the defaults."""
    expected = {option.name: option.default for option in describe(function)} | dict(base)
    return {name: value for name, value in options.items() if expected.get(name) != value}


@cache
def _schema(function: Callable[..., Any]) -> type[BaseModel]:
    hints = get_type_hints(function, include_extras=True)
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.name not in hints:
            name = parameter.name
            raise OptionError(f"Option '{name}' of {function.__name__} has no type. Annotate it, as in {name}: float.")
    fields: dict[str, Any] = {
        parameter.name: (hints[parameter.name], parameter.default)
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    config = ConfigDict(extra="forbid", validate_default=True, allow_inf_nan=False)
    return create_model(f"{function.__name__}_options", __config__=config, **fields)


def _bound(constraint: object) -> str:
    for attribute, sign in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤")):
        value = getattr(constraint, attribute, None)
        if value is not None:
            return f"{sign} {value}"
    return ""
