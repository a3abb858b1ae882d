"""Named entries found by discovery: in the files of a package, in installed plug-in packages and in plug-in files."""

from __future__ import annotations

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

from unlearn_bench.core.errors import PluginError, PluginWarning, reason_of, unknown_name
from unlearn_bench.core.plugin_sources import sources_digest
from unlearn_bench.core.renamed import new_name

OURS = "unlearn_bench."  # prefix of modules that are not plug-ins
DECORATORS = "@method, @metric, @model, @dataset, @scenario or @comparison"
FILES = "unlearn_bench_plugins"  # prefix of the module names of plug-in files


class Named(Protocol):
    """The attributes of every entry: the name that identifies it everywhere, and where it comes from."""

    @property
    def name(self) -> str: ...

    @property
    def origin(self) -> str: ...


@dataclass(frozen=True)
class Entry:
    """A decorated function with its metadata.

    Attributes:
        version: version of the definition. Increase it with every change that changes a number. Runs recorded under
            another version are made again, and no table mixes two versions.
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
        """The file or package of a plug-in; empty for a built-in entry."""
        module = self.function.__module__
        if module.startswith(OURS):
            return ""
        return self._file.name if module.startswith(FILES) else module.split(".")[0]

    @property
    def revision(self) -> str:
        """The version; for a plug-in followed by the start of its SHA-256: editing the plug-in creates new runs.

        The hash is of the plug-in's file and the files beside it that it imports, see
        :func:`unlearn_bench.core.plugin_sources.sources_digest`.
        """
        if not self.origin:
            return str(self.version)
        module = inspect.unwrap(self.function).__module__
        digest = _plugin_files.get(self._file.resolve()) or _digest_at_first_use(self._file, module)
        return f"{self.version}+{digest[:12]}"

    @property
    def _file(self) -> Path:
        return Path(inspect.getfile(inspect.unwrap(self.function)))


E = TypeVar("E", bound=Named)

_registries: list[Registry[Any]] = []
_plugin_files: dict[Path, str] = {}  # to the SHA-256 of the loaded content


@cache
def _digest_at_first_use(file: Path, module: str) -> str:
    """Returns the SHA-256 of an installed plug-in. A later edit does not change the code that this process runs."""
    package, *parts = module.split(".")
    depth = len(parts) + (file.name == "__init__.py")
    root = file.parents[depth] if depth < len(file.parents) else file.parent
    return sources_digest(file, file.read_bytes(), root, package)


class Registry(Generic[E]):
    """The entries of one kind, in order of their names.

    The first look-up imports the modules of ``package``, whose decorators add entries. It also loads the objects that
    installed packages list under the entry-point group ``package``. It skips an object that fails to load, with a
    :class:`PluginWarning`.
    """

    def __init__(self, kind: str, package: str) -> None:
        """``kind`` is the word that messages use; ``package`` is the package whose modules define the entries."""
        self.kind = kind
        self.package = package
        self._entries: dict[str, E] = {}
        self._discovered = False
        _registries.append(self)

    def add(self, entry: E) -> E:
        """Registers ``entry`` and returns it. Raises ValueError if its name is taken."""
        if entry.name in self._entries:
            raise ValueError(f"two {self.kind}s are named '{entry.name}'")
        self._entries[entry.name] = entry
        return entry

    def get(self, name: str) -> E:
        """Returns the entry of that name. Raises UnknownNameError, which suggests a similar name."""
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

    @contextmanager
    def temporarily(self, *entries: E) -> Iterator[None]:
        """Adds ``entries``, or puts them in place of entries with the same names; the exit undoes every change."""
        before = dict(self._discover())
        try:
            self._entries.update({entry.name: entry for entry in entries})
            yield
        finally:
            self._entries.clear()
            self._entries.update(before)

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
                except (Exception, SystemExit) as problem:  # a broken package must not affect the others
                    package_name = point.dist.name if point.dist else "unknown"
                    warnings.warn(
                        f"The plug-in '{point.name}' ({point.value}) of the package {package_name} is skipped: "
                        f"{reason_of(problem, with_type=True)}. {new_name(problem)}".rstrip(),
                        PluginWarning,
                        stacklevel=2,
                    )
        return self._entries


def load_plugin(file: Path, digest: str | None = None) -> None:
    """Runs a Python file whose decorators register entries. A second call with the same file does nothing.

    Args:
        file: path of the file.
        digest: the SHA-256 that the file must have, if another process has loaded it before.

    Raises:
        PluginError: the file does not exist, its SHA-256 is not ``digest``, or it fails. Its entries are removed.
    """
    file = file.resolve()
    if file in _plugin_files:
        return
    if not file.is_file() or file.suffix != ".py":
        raise PluginError(f"There is no plug-in file {file}. Give --plugin the path of a .py file.")
    source = file.read_bytes()
    content = sources_digest(file, source, file.parent)
    if digest not in (None, content):
        raise PluginError(f"The plug-in {file.name} was changed while the command ran. Run the command again.")
    for registry in _registries:
        registry._discover()  # built-in entries first: a plug-in must not take their names
    name = f"{FILES}.{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None  # guaranteed by the suffix
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # annotations are resolved there
    before = _count()
    try:
        with _all_or_nothing():
            # run the bytes that were hashed: an import could run outdated bytecode from __pycache__
            exec(compile(source, str(file), "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as problem:
        del sys.modules[name]
        reason, advice = reason_of(problem, with_type=True), new_name(problem) or "Correct the file."
        raise PluginError(f"The plug-in {file.name} cannot be loaded: {reason}. {advice}") from problem
    if _count() == before:
        raise PluginError(f"The plug-in {file.name} registers nothing. Decorate a function with {DECORATORS}.")
    _plugin_files[file] = content


def plugin_files() -> dict[Path, str]:
    """Returns the plug-in files loaded so far and their SHA-256, so that another process can load them too."""
    return dict(_plugin_files)


@contextmanager
def without_plugin_files() -> Iterator[None]:
    """Starts without plug-in files, as a new process does; the exit restores those that were loaded."""
    files = dict(_plugin_files)
    entries = [(registry, dict(registry._discover())) for registry in _registries]
    try:
        _plugin_files.clear()
        for registry, known in entries:
            for name, entry in known.items():
                if entry.origin.endswith(".py"):
                    del registry._entries[name]
        yield
    finally:
        _plugin_files.clear()
        _plugin_files.update(files)
        for registry, known in entries:
            registry._entries.clear()
            registry._entries.update(known)


@contextmanager
def _all_or_nothing() -> Iterator[None]:
    """Removes a plug-in's entries if it fails while loading; built-in entries that it imported stay."""
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
