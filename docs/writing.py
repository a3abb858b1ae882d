"""How the generated parts are written: tables, docstrings and types as Markdown."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Iterable
from typing import Any, Literal


def markdown_table(header: list[str], rows: Iterable[list[Any]]) -> str:
    """Returns a table; cells may hold anything that is no block."""
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    lines += [f"| {' | '.join(_cell(each) for each in row)} |" for row in rows]
    return "\n".join([*lines, ""])


def _cell(content: Any) -> str:
    return " ".join(str(content).replace("|", r"\|").split())


def docstring(documented: Any) -> str:
    """Returns a docstring as Markdown, without its sections of arguments and errors."""
    text = inspect.getdoc(documented) or ""
    return plain(re.split(r"\n(?=(?:Args|Attributes|Returns|Raises|Source|Example):)", text)[0].strip())


def plain(text: str) -> str:
    """Returns the text with code in single back-ticks, and references to code as code."""
    return re.sub(r"``(.+?)``", r"`\1`", re.sub(r":[a-z]+:`~?(.+?)`", r"`\1`", text))


def pairs(values: Any) -> str:
    """Returns names with their values, commas between."""
    return ", ".join(f"{name} {value}" for name, value in values.items())


def anchor(name: str) -> str:
    """Returns the anchor of a heading that is one word."""
    return name.lower()


def shown(value: Any) -> str:
    """Returns a default as code."""
    return "none" if value in (None, "", [], {}) else f"`{value}`"


def parameter_name(parameter: Any) -> str:
    """Returns the options of a command's parameter, or the name of an argument."""
    return ", ".join(parameter.opts) if parameter.opts[0].startswith("-") else str(parameter.name).upper()


def default_of(parameter: Any) -> str:
    """Returns the default of a command's parameter, empty where it says nothing."""
    default = parameter.default
    if parameter.required:
        return "required"
    return "" if default in (None, False, ()) or callable(default) else f"`{default}`"


def type_in_words(annotation: Any) -> str:
    """Returns a type in words: ``dict[str, list[int]]`` as ``map of text to list of integer``."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return type_in_words(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin is dict:
        return f"map of {type_in_words(arguments[0])} to {type_in_words(arguments[1])}"
    if origin is list:
        return f"list of {type_in_words(arguments[0])}"
    if origin in (typing.Union, types.UnionType):
        kinds = [type_in_words(each) for each in arguments if each is not type(None)]
        return "scalar" if kinds == ["boolean", "integer", "number", "text"] else " or ".join(kinds)
    words = {str: "text", int: "integer", float: "number", bool: "boolean"}
    return words.get(annotation) or f"{annotation.__name__}"
