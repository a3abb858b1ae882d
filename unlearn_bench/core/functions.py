"""A function of the user, named as ``FILE.py:FUNCTION`` or ``MODULE:FUNCTION``."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from unlearn_bench.core.errors import UserError, reason_of


def load_function(source: str, function: str, error: type[UserError]) -> Callable[..., Any]:
    """Returns a function of the user's code. Modules in the working folder are found, and those beside the file.

    Args:
        source: path of a file that ends in ``.py``, or name of a module.
        function: name of the function.
        error: the class of the errors.

    Raises:
        UserError: of the class ``error``: there is no such file, module or function, or the code fails.
    """
    is_file = source.endswith(".py")
    file = Path(source).expanduser()
    if is_file and not file.is_file():
        raise error(f"There is no file {source}. Give the path of a Python file, as FILE.py:FUNCTION.")
    try:
        module = load_module(source)
    except (Exception, SystemExit) as problem:  # code of others can raise anything
        what = "cannot be loaded" if is_file else "cannot be imported"
        reason = reason_of(problem, with_type=True)
        raise error(f"{source} {what}: {reason}. Correct it, or give FILE.py:FUNCTION.") from problem
    found = getattr(module, function, None)
    if not callable(found):
        names = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise error(f"{source} has no function '{function}', but {', '.join(names[:10]) or 'no function at all'}.")
    return found


def load_module(source: str) -> ModuleType:
    """Returns a module of the user's code; a file that stays the same is loaded once in a process.

    Args:
        source: path of a file that ends in ``.py``, or name of a module. The folder of the file, or the working folder,
            is searched for modules while it is loaded.

    Raises:
        Exception: whatever the code raises; OSError and ImportError if it does not exist.
    """
    file = Path(source).expanduser().resolve() if source.endswith(".py") else None
    sys.path.insert(0, str(file.parent if file else Path.cwd()))
    try:
        return _run(file) if file else importlib.import_module(source)
    finally:
        sys.path.pop(0)


def _run(file: Path) -> ModuleType:
    name = f"unlearn_bench_functions.{file.stem}_{hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None  # guaranteed by the suffix
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # annotations and pickles are resolved there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
