"""Hyper-parameters read from a function's signature: its keyword-only arguments ARE its options.

Type, range and help stand in the annotation, ``lr: Annotated[float, Field(gt=0, le=10, description="learning rate")]``,
and pydantic checks values against it, so that a wrong one is refused before any training.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from unlearn_bench.errors import OptionError, did_you_mean


@dataclass(frozen=True)
class Inert:
    """Marks an option, in its annotation, that bounds memory or time and changes no result."""


@dataclass(frozen=True)
class Added:
    """Marks an option, in its annotation, that came after runs were recorded.

    At its default it is no part of a run's identity, see :func:`identity`: old runs keep their keys. The default must
    therefore be what was done before, and must never change.
    """


@dataclass(frozen=True)
class Search:
    """Marks an option, in its annotation, as one to tune, and between which values.

    Attributes:
        low, high: both included.
        log: whether orders of magnitude are equally likely.
    """

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Option:
    """One hyper-parameter, for people: ``type``, ``range`` and ``help`` are text.

    Attributes:
        choices: the values of an option that has named ones.
        inert: whether it changes no result.
        added: whether its default is no part of a run's identity.
        search: where tuning looks; None for an option that is not tuned.
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


def parse_pairs(sets: Sequence[str]) -> dict[str, str]:
    """Returns the options of a command line, each ``NAME=VALUE``. Raises OptionError where one sets nothing."""
    pairs = [item.partition("=") for item in sets]
    for item, (name, sign, _) in zip(sets, pairs, strict=True):
        if not name or not sign:
            raise OptionError(f"--set {item} sets nothing, expected NAME=VALUE, such as --set lr=0.01.")
    return {name.strip(): value.strip() for name, _, value in pairs}


def complete(function: Callable[..., Any], given: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """Returns all options of ``function``: the given ones, checked and converted, over the defaults.

    Args:
        function: its keyword-only arguments are the options.
        given: option name to value; strings from a command line are converted ("1e-2" to 0.01).
        owner: what the options belong to, for the message ("method 'muda'").

    Raises:
        OptionError: an unknown name, a wrong type, or a value out of range.
    """
    try:
        return _schema(function)(**given).model_dump()
    except ValidationError as problem:
        first = problem.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "?"
        known = {option.name: option for option in describe(function)}
        if first["type"] == "extra_forbidden":
            known_names = ", ".join(known) or "none"
            raise OptionError(
                f"The {owner} has no option '{name}'.{did_you_mean(name, known)} Its options: {known_names}."
            ) from None
        option = known[name]
        expected = f"{option.type} {option.range}".strip()
        raise OptionError(
            f"Option '{name}' of the {owner} is {given.get(name)!r}, expected {expected}; "
            f"the default is {option.default}."
        ) from None


def describe(function: Callable[..., Any]) -> list[Option]:
    """Returns the options of ``function`` in the order of its signature."""
    described = []
    for name, field in _schema(function).model_fields.items():
        bounds = [_bound(constraint) for constraint in field.metadata]
        kind = field.annotation
        choices = get_args(kind) if get_origin(kind) is Literal else ()
        described.append(
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
    return described


def identity(function: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options that identify a run: all but those marked :class:`Added` that have their default."""
    unset = {option.name: option.default for option in describe(function) if option.added}
    return {name: value for name, value in options.items() if name not in unset or value != unset[name]}


def changed(function: Callable[..., Any], options: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options that differ from the defaults of ``function`` with ``base`` laid over them."""
    usual = {option.name: option.default for option in describe(function)} | dict(base)
    return {name: value for name, value in options.items() if usual.get(name) != value}


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
