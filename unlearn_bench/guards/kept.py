"""Data that a method leaves behind in its own module, where a later run would find it."""

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

from unlearn_bench.guards.events import code_of, is_own

Found = tuple[str, int]  # where it lies, and how many numbers it has
CACHED = type(functools.cache(lambda: None))


class Kept:
    """Compares what a method's module holds before and after a run."""

    def __init__(self, function: Callable[..., Any], shape: Sequence[int]) -> None:
        """Notes what is there; data is what has as many numbers as an image of that shape, or more."""
        self._function = function
        self._least = math.prod(shape)
        self._before = {id(value): (value, size) for value, (_, size) in self._held()}  # held: no id is given anew

    def since(self) -> str:
        """Returns what is there now and was not before, in words; empty where there is nothing."""
        for value, (place, size) in self._held():
            known = self._before.get(id(value))
            if known is None or known[1] != size:
                return f"{place} holds {type(value).__name__} of {size:,} values after the run"
        return ""

    def _held(self) -> Iterator[tuple[Any, Found]]:
        """Yields every object with data that can be reached from the method's own code."""
        own = code_of(self._function)
        modules = [module for name, module in list(sys.modules.items()) if is_own(name, own)]
        names = [vars(module) for module in modules if isinstance(module, ModuleType)]
        todo = deque((name, value) for space in names for name, value in space.items() if not name.startswith("__"))
        seen: set[int] = set()
        while todo:
            place, value = todo.popleft()
            if id(value) in seen or isinstance(value, ModuleType):
                continue
            seen.add(id(value))
            size = _numbers(value)
            if size >= self._least:
                yield value, (place, size)
            todo.extend((place, part) for part in _parts(value, own))


def _numbers(value: Any) -> int:
    """Returns how many numbers, or other things, an object holds directly."""
    if isinstance(value, Tensor):
        return value.numel()
    if isinstance(value, np.ndarray):
        return value.size
    if isinstance(value, (bytes, bytearray, memoryview, str, list, tuple, set, frozenset, dict, deque)):
        return len(value)
    return 0


def _parts(value: Any, own: str) -> list[Any]:
    """Returns what an object refers to, as far as it is the method's own."""
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
