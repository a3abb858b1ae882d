"""Named entries found by discovery: a file beside its siblings, or an entry point of an installed package."""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from unlearn_bench.errors import unknown_name


class Named(Protocol):
    """What every entry has: the one string that names it everywhere."""

    @property
    def name(self) -> str: ...


@dataclass(frozen=True)
class Entry:
    """A decorated function with what people need to know about it."""

    name: str
    label: str
    source: str
    function: Callable[..., Any]

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return (self.function.__doc__ or "").strip().split("\n", 1)[0]


E = TypeVar("E", bound=Named)


class Registry(Generic[E]):
    """The entries of one kind, in order of their names.

    The modules of ``package`` are imported at the first look-up, each of which adds its entries by decoration; so are
    the objects that installed packages name under the entry-point group ``package``.
    """

    def __init__(self, kind: str, package: str) -> None:
        """``kind`` is the word that messages use; ``package`` the package whose modules hold the entries."""
        self.kind = kind
        self.package = package
        self._entries: dict[str, E] = {}
        self._discovered = False

    def add(self, entry: E) -> E:
        """Returns ``entry``, registered. Raises ValueError when its name is taken: two files must not share one."""
        if entry.name in self._entries:
            raise ValueError(f"Two {self.kind}s are named '{entry.name}'.")
        self._entries[entry.name] = entry
        return entry

    def get(self, name: str) -> E:
        """Returns the entry of that name. Raises UnknownNameError with a suggestion."""
        entries = self._discover()
        if name not in entries:
            raise unknown_name(self.kind, name, entries)
        return entries[name]

    def __iter__(self) -> Iterator[E]:
        """Yields the entries in order of their names."""
        entries = self._discover()
        return iter([entries[name] for name in sorted(entries)])

    def names(self) -> list[str]:
        """Returns the names in order."""
        return [entry.name for entry in self]

    def _discover(self) -> dict[str, E]:
        if not self._discovered:
            self._discovered = True
            package = importlib.import_module(self.package)
            for module in pkgutil.iter_modules(package.__path__, prefix=f"{self.package}."):
                importlib.import_module(module.name)
            for point in importlib.metadata.entry_points(group=self.package):
                point.load()
        return self._entries
