"""YAML files as plain data, with the safe loader and bounded in size. No torch here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from unlearn_bench.core.errors import ConfigError

LARGEST_FILE = 2**20  # bytes, and nodes with every alias written out


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the floats of YAML 1.2: ``1e-2`` is a number, where YAML 1.1 reads a string."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_yaml(path: Path) -> Any:
    """Returns the content of a YAML file.

    Raises:
        ConfigError: it is not YAML, the message gives the line; or it is larger than any such file is, as written or
            with its aliases written out.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ConfigError(f"{path.name} has {path.stat().st_size:,} bytes, expected {LARGEST_FILE:,} at most.")
        text = path.read_text(encoding="utf-8")
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _written_out(node, {}) > LARGEST_FILE:
            raise ConfigError(f"{path.name} has too many aliases within aliases. Write it with fewer.")
        return loader.construct_document(node)
    except OSError as problem:
        raise ConfigError(f"{path} cannot be read: {problem.strerror}.") from None
    except RecursionError:
        raise ConfigError(f"{path.name} is nested too deeply, or within itself. Write it flatter.") from None
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError) as problem:
        # the latter: a date that is none, a tag on a value that it does not fit
        where = getattr(problem, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise ConfigError(f"{path.name}{line} is not YAML: {getattr(problem, 'problem', problem)}.") from None


def _written_out(node: Any, known: dict[int, int]) -> int:
    """Returns how many nodes a composed document has with its aliases written out: each alias is the same object."""
    if id(node) not in known:
        pairs = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = [part for pair in pairs for part in (pair if isinstance(pair, tuple) else (pair,))]
        known[id(node)] = 1 + sum(_written_out(part, known) for part in parts)
    return known[id(node)]
