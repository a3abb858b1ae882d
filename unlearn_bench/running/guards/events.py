"""Watches a method through Python's audit events: the files it opens, and its access to other objects."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import safetensors
import safetensors.numpy
import safetensors.torch

from unlearn_bench.core.registry import FILES, OURS

OPENS = {"open", "sqlite3.connect"}
LISTS = {"os.listdir", "os.scandir"}
LOOKS = {
    "gc.get_objects": "listed all objects of the process (gc.get_objects)",
    "gc.get_referrers": "searched for the owners of an object (gc.get_referrers)",
    "gc.get_referents": "inspected an object (gc.get_referents)",
    "sys._getframe": "inspected its caller (sys._getframe)",
    "sys._current_frames": "inspected its caller (sys._current_frames)",
    "sys.settrace": "traced other code (sys.settrace)",
    "sys.setprofile": "traced other code (sys.setprofile)",
}
FRAMES = {"tb_frame", "gi_frame", "cr_frame", "ag_frame"}  # attributes that hold a frame
EVENTS = OPENS | LISTS | LOOKS.keys() | {"object.__getattr__"}
IMPORTED = (".py", ".pyc", ".so", ".pyd", ".dll", ".dylib")  # files that contain code
HELPERS = {"inspect", "traceback"}  # modules that inspect frames for their caller


@dataclass
class Events:
    """The events of a method.

    Attributes:
        opened: names of the files that were opened, without code and system files.
        listed: names of the folders whose files were listed.
        looks: descriptions of accesses to other objects.
    """

    opened: list[str] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)
    looks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Watch:
    module: str  # the method's own code: its module or, if it is installed as a package, the package
    thread: int
    events: Events


_watches: list[_Watch] = []
_hooked: list[bool] = []
_local = threading.local()


@contextmanager
def events_of(function: Callable[..., Any], events: Events) -> Iterator[None]:
    """Adds to ``events`` what the method of that function does inside the ``with`` block.

    A file counts if any code opens it in this thread, or if the method's own code opens it in another thread. An
    access to objects counts if the method's own code makes it. Files that a library opens without Python are not seen,
    except those of safetensors.
    """
    if not _hooked:  # an audit hook cannot be removed
        sys.addaudithook(_hook)
        _hooked.append(True)
    _watches.append(_Watch(code_of(function), threading.get_ident(), events))
    try:
        with _safetensors_audited(function):
            yield
    finally:
        _watches.pop()


@contextmanager
def paused() -> Iterator[None]:
    """Ignores what this thread does inside the ``with`` block."""
    before = getattr(_local, "busy", False)
    _local.busy = True
    try:
        yield
    finally:
        _local.busy = before


def code_of(function: Callable[..., Any]) -> str:
    """Returns the name of the module that holds a method's own code; for an installed package, the package's name."""
    module = str(function.__module__)
    return module if module.startswith((OURS, FILES)) else module.split(".", maxsplit=1)[0]


def is_own(module: str, own: str) -> bool:
    """Returns whether a module is ``own``, see :func:`code_of`, or one of its submodules."""
    return module == own or module.startswith(f"{own}.")


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watches or event not in EVENTS or getattr(_local, "busy", False):
        return
    _local.busy = True  # inspecting the caller is itself an event
    try:
        _record(event, arguments, sys._getframe(1), _watches[-1])
    finally:
        _local.busy = False


def _record(event: str, arguments: tuple[Any, ...], frame: FrameType, watch: _Watch) -> None:
    if event in OPENS | LISTS:
        by_method = threading.get_ident() == watch.thread or _is_under(frame, watch.module)
        if by_method and isinstance(arguments[0], (str, bytes)):
            name = os.fsdecode(arguments[0])
            if event in LISTS:
                watch.events.listed.append(name)
            elif _is_data(name):
                watch.events.opened.append(name)
    elif event == "object.__getattr__":
        if arguments[1] in FRAMES and is_own(_module(frame), watch.module):
            watch.events.looks.append(f"inspected a frame ({arguments[1]})")
    elif is_own(_module(_caller(frame)), watch.module):
        watch.events.looks.append(LOOKS[event])


def _is_data(name: str) -> bool:
    is_system = name.startswith(("/proc/", "/sys/", "/dev/"))
    return not name.endswith(IMPORTED) and not is_system and not Path(name).is_dir()


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _caller(frame: FrameType) -> FrameType:
    """Returns the frame that caused the event; for a helper such as ``inspect.stack``, the frame that called it."""
    is_helper = _module(frame) == "inspect" or (_module(frame) in HELPERS and frame.f_code.co_name.startswith("walk"))
    return frame.f_back if is_helper and frame.f_back else frame


def _is_under(frame: FrameType | None, module: str) -> bool:
    while frame is not None:
        if is_own(_module(frame), module):
            return True
        frame = frame.f_back
    return False


@contextmanager
def _safetensors_audited(function: Callable[..., Any]) -> Iterator[None]:
    """Makes safetensors, which opens files without Python, raise the audit event that ``open`` raises."""
    real = safetensors.safe_open

    def audited(filename: Any, *arguments: Any, **options: Any) -> Any:
        sys.audit("open", os.fspath(filename), "rb", 0)
        return real(filename, *arguments, **options)

    own = getattr(function, "__globals__", {})
    namespaces: list[dict[str, Any]] = [vars(safetensors), vars(safetensors.torch), vars(safetensors.numpy), own]
    replaced = [(names, name) for names in namespaces for name, value in names.items() if value is real]
    for names, name in replaced:
        names[name] = audited
    try:
        yield
    finally:
        for names, name in replaced:
            names[name] = real
