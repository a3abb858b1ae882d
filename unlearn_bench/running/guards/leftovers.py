"""Data that a method leaves in its own module, where a later run could read it."""

from __future__ import annotations

import functools
import gc
import math
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
from torch import Tensor

from unlearn_bench.running.guards.events import code_of, is_own

Location = tuple[str, int]  # the name in the module that leads to an object, and the object's number of values
CACHED = type(functools.cache(lambda: None))


class Leftovers:
    """Compares the data in a method's module before and after a run."""

    def __init__(self, function: Callable[..., Any], shape: Sequence[int]) -> None:
        """Records the data before the run: every object with at least as many values as an image of ``shape``."""
        self._function = function
        self._least = math.prod(shape)
        # the objects are kept alive, so that no id is reused
        self._before = {id(value): (value, size) for value, (_, size) in self._held()}

    def new(self) -> str:
        """Returns a sentence on data that was not there before the run; empty if there is none."""
        for value, (name, size) in self._held():
            before = self._before.get(id(value))
            if before is None or before[1] != size:
                return f"{name} holds {type(value).__name__} of {size:,} values after the run"
        return ""

    def _held(self) -> Iterator[tuple[Any, Location]]:
        """Yields every object with data that is reachable from the method's own code."""
        own = code_of(self._function)
        modules = [module for name, module in list(sys.modules.items()) if is_own(name, own)]
        namespaces = [vars(module) for module in modules if isinstance(module, ModuleType)]
        todo = deque(item for names in namespaces for item in names.items() if not item[0].startswith("__"))
        seen: set[int] = set()
        while todo:
            name, value = todo.popleft()
            if id(value) in seen or isinstance(value, ModuleType):
                continue
            seen.add(id(value))
            size = _numbers(value)
            if size >= self._least:
                yield value, (name, size)
            todo.extend((name, part) for part in _parts(value, own))


def _numbers(value: Any) -> int:
    """Returns how many numbers or other items an object holds directly."""
    if isinstance(value, Tensor):
        return value.numel()
    if isinstance(value, np.ndarray):
        return value.size
    if isinstance(value, (bytes, bytearray, memoryview, str, list, tuple, set, frozenset, dict, deque)):
        return len(value)
    return 0


def _parts(value: Any, own: str) -> list[Any]:
    """Returns the objects that an object refers to, except code outside the method's own modules."""
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return list(value)
    if isinstance(value, (CACHED, functools.partial)):
        return [part for part in gc.get_referents(value) if not isinstance(part, type)]
    if isinstance(value, (FunctionType, type)) and not is_own(value.__module__ or "", own):
        return []
    attributes = list(vars(value).values()) if hasattr(value, "__dict__") else []
    return attributes + (_parts_of_function(value) if isinstance(value, FunctionType) else [])


def _parts_of_function(function: FunctionType) -> list[Any]:
    cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    return [*cells, *(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False
