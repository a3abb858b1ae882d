"""The command line: parse, one call, print. The only error boundary; with ``terminal`` the only place that prints.

A command lives in the file of its kind; importing the file adds it.
"""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import threading
import traceback
import warnings
from typing import Any, TextIO

import typer

from unlearn_bench import logbook
from unlearn_bench.cli import (  # noqa: F401  # they add their commands
    auditing,
    checking,
    drawing,
    exchange,
    health,
    making,
    reading,
    regression,
    tuning,
)
from unlearn_bench.cli.app import Debugging, app
from unlearn_bench.errors import Notice, UserError


def main() -> None:
    """Runs the command line and exits: 0 done, 1 runs failed or a bug, 2 wrong use, 130 interrupted."""
    logbook.start(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a legacy code page lacks the paper's symbols
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")  # a file's name may be no text at all
    if threading.current_thread() is threading.main_thread():  # as a cluster ends a job: like Ctrl-C
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    warnings.showwarning = _show_warning
    usage_error: Any = typer.BadParameter.__mro__[1]  # click's UsageError, which newer typers carry within themselves
    try:
        code = app(standalone_mode=False)
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
        full = isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EIO) and not problem.filename
        says = f"The output cannot be written: {problem.strerror}. Make room." if full else _bug(problem)  # type: ignore[attr-defined]  # of an OSError
        typer.echo(says, err=True)
        code = 2 if full else 1
        if full:
            os._exit(code)  # else Python would try to write what is left once more
    if code == 130:  # typer may have made an Exit of the interrupt
        typer.echo("Interrupted. What is done is recorded; the same command goes on from there.", err=True)
    sys.exit(code if isinstance(code, int) else 0)


def _show_traceback() -> None:
    if Debugging.on:
        traceback.print_exc()


def _bug(problem: Exception) -> str:
    """Returns what is said of an error that nobody expected."""
    file = logbook.note_unexpected(problem)
    where = f"The traceback is in {file}" if file else "Run it again with `unlearn-bench --debug …` for the traceback"
    return (
        f"Unexpected error, a bug of unlearn-bench: {type(problem).__name__}: {problem}\n{where}; please report "
        "it with the command. What was done before is recorded."
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
    """Shows a warning that is meant for users as its sentence alone."""
    if issubclass(category, Notice):
        typer.echo(str(message), err=True)
    else:
        _usual_showwarning(message, category, filename, lineno, file, line)
