"""Named entries found by discovery: a file beside its siblings, or a plug-in: an installed package or one file."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from unlearn_bench.errors import PluginError, PluginWarning, unknown_name

OURS = "unlearn_bench."  # modules that are no plug-ins
FILES = "unlearn_bench_plugins"  # prefix of the names of modules made of a plug-in file


class Named(Protocol):
    """What every entry has: the one string that names it everywhere, and whose it is."""

    @property
    def name(self) -> str: ...

    @property
    def origin(self) -> str: ...


@dataclass(frozen=True)
class Entry:
    """A decorated function with what people need to know about it.

    Attributes:
        version: of the definition. Raise it with every change that changes a number: what is recorded under another
            version is made again, and no table mixes the two.
    """

    name: str
    label: str
    source: str
    function: Callable[..., Any]
    version: int = field(default=1, kw_only=True)

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return (self.function.__doc__ or "").strip().split("\n", 1)[0]

    @property
    def origin(self) -> str:
        """Where a plug-in comes from, its file or package; empty for our own entries."""
        module = self.function.__module__
        if module.startswith(OURS):
            return ""
        return self._file.name if module.startswith(FILES) else module.split(".")[0]

    @property
    def revision(self) -> str:
        """The version; of a plug-in with the beginning of its file's SHA-256: who edits it gets new numbers."""
        return f"{self.version}+{_digest_at_load(self._file)[:12]}" if self.origin else str(self.version)

    @property
    def _file(self) -> Path:
        return Path(inspect.getfile(inspect.unwrap(self.function)))


E = TypeVar("E", bound=Named)

_registries: list[Registry[Any]] = []
_plugin_files: dict[Path, str] = {}  # with the SHA-256 of what was loaded


@cache
def _digest_at_load(file: Path) -> str:
    """Returns a file's SHA-256 as of the first time it is asked for: who edits it later still runs the old code."""
    return _plugin_files.get(file.resolve()) or hashlib.sha256(file.read_bytes()).hexdigest()


class Registry(Generic[E]):
    """The entries of one kind, in order of their names.

    The modules of ``package`` are imported at the first look-up, each of which adds its entries by decoration; so are
    the objects that installed packages name under the entry-point group ``package``. Of these a broken one is named in
    a :class:`PluginWarning` and left out.
    """

    def __init__(self, kind: str, package: str) -> None:
        """``kind`` is the word that messages use; ``package`` the package whose modules hold the entries."""
        self.kind = kind
        self.package = package
        self._entries: dict[str, E] = {}
        self._discovered = False
        _registries.append(self)

    def add(self, entry: E) -> E:
        """Returns ``entry``, registered. Raises ValueError when its name is taken: two files must not share one."""
        if entry.name in self._entries:
            raise ValueError(f"two {self.kind}s are named '{entry.name}'")
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
                try:
                    with _all_or_nothing():
                        point.load()
                except (Exception, SystemExit) as problem:  # anyone's code: one broken package must not end the others
                    package_name = point.dist.name if point.dist else "unknown"
                    warnings.warn(
                        f"The plug-in '{point.name}' ({point.value}) of the package {package_name} is left out: "
                        f"{_reason(problem)}.",
                        PluginWarning,
                        stacklevel=2,
                    )
        return self._entries


def load_plugin(file: Path, digest: str | None = None) -> None:
    """Runs a Python file whose decorators register its entries; a second time, nothing happens.

    Args:
        file: its path.
        digest: the SHA-256 that it must have, where another process has loaded it before.

    Raises:
        PluginError: no such file, another content than ``digest``, or it fails; nothing of it stays registered.
    """
    file = file.resolve()
    if file in _plugin_files:
        return
    if not file.is_file() or file.suffix != ".py":
        raise PluginError(f"There is no plug-in {file}. Give --plugin the path of a Python file, such as head_ft.py.")
    source = file.read_bytes()
    content = hashlib.sha256(source).hexdigest()
    if digest not in (None, content):
        raise PluginError(f"The plug-in {file.name} was changed while the command ran. Run the command again.")
    for registry in _registries:
        registry._discover()  # ours first: a plug-in must not take their names
    name = f"{FILES}.{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None  # the suffix says so
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # annotations are looked up there
    before = _count()
    try:
        with _all_or_nothing():
            # the very bytes that were hashed: an import would take older ones from __pycache__
            exec(compile(source, str(file), "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as problem:
        del sys.modules[name]
        raise PluginError(f"The plug-in {file.name} cannot be loaded: {_reason(problem)}. Mend the file.") from problem
    if _count() == before:
        raise PluginError(f"The plug-in {file.name} registers nothing. Decorate a function with @method or @metric.")
    _plugin_files[file] = content


def plugin_files() -> dict[Path, str]:
    """Returns the plug-in files loaded so far with their SHA-256, for another process to load as well."""
    return dict(_plugin_files)


@contextmanager
def _all_or_nothing() -> Iterator[None]:
    """Takes a plug-in's entries back where it fails half way; our own, which it may have imported, stay."""
    before = [(registry, set(registry._entries)) for registry in _registries]
    try:
        yield
    except (Exception, SystemExit):
        for registry, names in before:
            for name, entry in list(registry._entries.items()):
                if name not in names and entry.origin:
                    del registry._entries[name]
        raise


def _count() -> int:
    return sum(len(registry._entries) for registry in _registries)


def _reason(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {str(problem).splitlines()[0] if str(problem) else 'no reason given'}".rstrip(
        "."
    )
