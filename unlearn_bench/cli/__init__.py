"""The command line: each command parses its options, makes one call and prints the result.

Each command is one file, which adds its command to ``app``. Only this package prints, and only it catches errors.
"""

from __future__ import annotations

import errno
import importlib
import io
import os
import signal
import sys
import threading
import traceback
import warnings
from typing import Any, TextIO

import typer

from unlearn_bench.cli.app import Debugging, app
from unlearn_bench.cli.old_names import with_new_names
from unlearn_bench.core import logs as logbook
from unlearn_bench.core.errors import Notice, UserError

# The files of the commands, in the order of --help. They are not imported by a statement: `list` and `open` would be
# names of builtins, and the import order would be alphabetical.
COMMANDS = (
    *("unlearn", "audit", "weights", "check_method", "figure", "export", "import_", "track", "doctor"),
    *("train", "run", "reproduce", "compare", "demo"),
    *("report", "open", "claims", "runs", "show", "status", "list", "explain"),
    *("check", "tune"),
)
for _name in COMMANDS:
    importlib.import_module(f"unlearn_bench.cli.{_name}")


def main() -> None:
    """Runs the command line and exits: 0 success, 1 failed runs or a bug, 2 wrong use, 130 interrupted."""
    words, notes = with_new_names(sys.argv[1:])
    logbook.start(words)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a legacy code page lacks the paper's symbols
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # a file name may not be valid UTF-8
    if threading.current_thread() is threading.main_thread():  # a cluster ends a job with SIGTERM: same as Ctrl-C
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    warnings.showwarning = _show_warning
    usage_error: Any = typer.BadParameter.__mro__[1]  # click's UsageError, which newer typers bundle
    for note in notes:
        typer.echo(note, err=True)
    try:
        code = app(words, standalone_mode=False)
        sys.stdout.flush()
    except UserError as problem:
        _show_traceback()
        typer.echo(str(problem), err=True)
        logbook.note(str(problem))
        code = 2
    except usage_error as problem:
        problem.show()
        code = problem.exit_code
    except typer.Exit as stop:
        code = stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except Exception as problem:
        _show_traceback()
        is_full = isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EIO) and not problem.filename
        if is_full:
            typer.echo(f"The output cannot be written: {problem.strerror}. Free some disk space.", err=True)  # type: ignore[attr-defined]  # an OSError
            os._exit(2)  # a normal exit would flush the output, and fail again
        typer.echo(_unexpected(problem), err=True)
        code = 1
    if code == 130:  # also where typer turned the interrupt into an Exit
        typer.echo("Interrupted. Finished runs are recorded; run the same command again to continue.", err=True)
    sys.exit(code if isinstance(code, int) else 0)


def _show_traceback() -> None:
    if Debugging.on:
        traceback.print_exc()


def _unexpected(problem: Exception) -> str:
    """Returns the message for an error that is a bug, and writes its traceback to the log."""
    file = logbook.note_unexpected(problem)
    where = f"The traceback is in {file}" if file else "Run it again with `unlearn-bench --debug …` for the traceback"
    return (
        f"Unexpected error, a bug in unlearn-bench: {type(problem).__name__}: {problem}\n{where}; please report it "
        "with the command. Runs that finished before it are recorded."
    )


_usual_showwarning = warnings.showwarning


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Shows only the sentence of a warning that is meant for users, without its file and line."""
    if issubclass(category, Notice):
        typer.echo(str(message), err=True)
    else:
        _usual_showwarning(message, category, filename, lineno, file, line)
