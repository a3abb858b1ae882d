"""The plain objects that people save beside weights: numbers of NumPy, namespaces, paths, dates. None can run code.

``torch.load(weights_only=True)`` refuses them unless they are allowed. NumPy's own functions are not: a file can set
the flags of a ``numpy.dtype`` so that bytes of the file are used as pointers. :data:`ALLOWED` maps their names to
stand-ins, which accept only plain kinds of numbers; :func:`restored` replaces each by what it stands for.
"""

from __future__ import annotations

import argparse
import datetime
import pathlib
import re
import types
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch

PLAIN_KIND = re.compile(r"[|<>=]?(b1|[iu][1248]|f[248]|c8|c16|[SU]\d{1,6})")
FACTORY = ".default_factory"  # no attribute that Python code could set has this name


class PlainType:
    """Stands for a ``numpy.dtype`` of booleans, integers, floats, complex numbers or text."""

    def __init__(self, name: str | bytes, *_: object) -> None:
        text = name.decode("ascii") if isinstance(name, bytes) else name
        if not isinstance(text, str) or not PLAIN_KIND.fullmatch(text):
            raise UnpicklingError("a NumPy type that is not plain")
        self.value = np.dtype(text)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Takes the byte order of a pickled ``numpy.dtype``, and nothing else."""
        if state[1] in (">", b">"):
            self.value = self.value.newbyteorder(">")
        elif state[1] in ("<", b"<"):
            self.value = self.value.newbyteorder("<")


class PlainArray:
    """Stands for a ``numpy.ndarray`` of plain numbers."""

    value: Any = None

    def __init__(self, *_: object) -> None:
        """Takes the arguments with which NumPy makes an empty array, which say nothing."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Takes the shape, type, order and bytes of a pickled array."""
        _, shape, kind, is_fortran, data = state
        if not isinstance(kind, PlainType) or not isinstance(data, bytes):
            raise UnpicklingError("an array that is not of plain numbers")
        flat = np.frombuffer(data, kind.value).copy()  # a copy can be written to
        self.value = flat.reshape(tuple(int(side) for side in shape), order="F" if is_fortran else "C")


def plain_number(kind: PlainType, data: bytes) -> Any:
    """Returns the NumPy scalar of a plain type whose bytes are ``data``."""
    if not isinstance(kind, PlainType) or not isinstance(data, bytes):
        raise UnpicklingError("a number that is not plain")
    return np.frombuffer(data, kind.value)[0]


def plain_default_dictionary(factory: object = None) -> OrderedDict[Any, Any]:
    """Returns a dictionary that torch can fill, and that :func:`restored` replaces by a ``defaultdict``."""
    made: OrderedDict[Any, Any] = OrderedDict()
    made.__dict__[FACTORY] = factory if factory in PLAIN_CLASSES else None
    return made


def _path_of(name: str) -> Callable[..., Any]:
    """Returns the class of a path; of another system's paths a class that is pickled as theirs."""
    own = getattr(pathlib, name)
    if name in ("Path", "PurePath", "PurePosixPath", "PureWindowsPath") or isinstance(pathlib.Path(), own):
        return own
    flavour = pathlib.PureWindowsPath if name == "WindowsPath" else pathlib.PurePosixPath
    return type(name, (flavour,), {"__reduce__": lambda path: (own, path.parts), "__slots__": ()})


PLAIN_CLASSES = (list, dict, tuple, set, frozenset, int, float, bool, str, bytes)
NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")  # before and since NumPy 2
PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
DATES = ("datetime", "date", "time", "timedelta", "timezone")
# (what is made, the name under which a file asks for it), as torch.serialization.safe_globals takes them
ALLOWED: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    *((kind, f"builtins.{kind.__name__}") for kind in PLAIN_CLASSES),
    *((getattr(datetime, name), f"datetime.{name}") for name in DATES),
    *((_path_of(name), f"{module}.{name}") for name in PATHS for module in ("pathlib", "pathlib._local")),
    *((plain_number, f"{module}.scalar") for module in NUMPY),
    *((PlainArray, f"{module}._reconstruct") for module in NUMPY),
    (PlainArray, "numpy.ndarray"),
    (PlainType, "numpy.dtype"),
    (plain_default_dictionary, "collections.defaultdict"),
    (argparse.Namespace, "argparse.Namespace"),
    (types.SimpleNamespace, "types.SimpleNamespace"),
    (torch.torch_version.TorchVersion, "torch.torch_version.TorchVersion"),
]


def restored(value: Any, seen: dict[int, Any] | None = None) -> Any:
    """Returns what was read with every stand-in replaced by the object it stands for; containers change in place.

    Raises:
        UnpicklingError: an object has a special attribute, such as ``__reduce_ex__``, which could act when the object
            is used or written.
    """
    seen = {} if seen is None else seen
    if id(value) in seen:
        return seen[id(value)]
    if isinstance(value, (PlainType, PlainArray)):
        return value.value
    attributes: dict[str, Any] = {} if isinstance(value, type) else getattr(value, "__dict__", {})
    if any(not isinstance(name, str) or name.startswith("__") for name in attributes):
        raise UnpicklingError("an object with special attributes")
    if isinstance(value, (OrderedDict, argparse.Namespace, types.SimpleNamespace)):
        result: Any = defaultdict(attributes[FACTORY]) if FACTORY in attributes else value
        seen[id(value)] = result
        if result is value:
            attributes.update({name: restored(part, seen) for name, part in attributes.items()})
        if isinstance(value, OrderedDict):
            result.update({name: restored(part, seen) for name, part in value.items()})
    elif isinstance(value, dict):
        seen[id(value)] = result = value
        for name, part in value.items():  # the method update of a Counter adds
            value[name] = restored(part, seen)
    elif isinstance(value, list):
        seen[id(value)] = result = value
        value[:] = [restored(part, seen) for part in value]
    elif type(value) is tuple:
        parts = tuple(restored(part, seen) for part in value)
        seen[id(value)] = result = value if all(new is old for new, old in zip(parts, value, strict=True)) else parts
    else:
        return value
    return result
