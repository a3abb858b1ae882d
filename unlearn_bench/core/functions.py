"""A function of the user, named as ``FILE.py:FUNCTION`` or ``MODULE:FUNCTION``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unlearn_bench.core.errors import UserError


def one_line(problem: BaseException) -> str:
    """Returns an exception's type and the first line of its message."""
    lines = str(problem).strip().splitlines()
    return f"{type(problem).__name__}: {lines[0]}".rstrip(".") if lines else type(problem).__name__


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
    sys.path.insert(0, str(file.resolve().parent if is_file else Path.cwd()))
    try:
        module = _run(file.resolve()) if is_file else importlib.import_module(source)
    except (Exception, SystemExit) as problem:  # code of others can raise anything
        what = "cannot be loaded" if is_file else "cannot be imported"
        raise error(f"{source} {what}: {one_line(problem)}. Correct it, or give FILE.py:FUNCTION.") from problem
    finally:
        sys.path.pop(0)
    found = getattr(module, function, None)
    if not callable(found):
        names = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise error(f"{source} has no function '{function}', but {', '.join(names[:10]) or 'no function at all'}.")
    return found


def _run(file: Path) -> Any:
    name = f"unlearn_bench_functions.{file.stem}"
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
