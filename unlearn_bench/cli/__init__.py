"""The command line: parse, one call, print. The only error boundary; with ``terminal`` the only place that prints.

A command lives in the file of its kind; importing the file adds it.
"""

from __future__ import annotations

import io
import sys
import warnings
from typing import Any, TextIO

import typer

from unlearn_bench.cli import checking, drawing, making, reading, tuning  # noqa: F401  # they add their commands
from unlearn_bench.cli.app import app
from unlearn_bench.errors import Notice, UserError


def main() -> None:
    """Runs the command line and exits: 0 done, 1 runs failed, 2 wrong use, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a legacy code page lacks the paper's symbols
            stream.reconfigure(encoding="utf-8")
    warnings.showwarning = _show_warning
    usage_error: Any = typer.BadParameter.__mro__[1]  # click's UsageError, which newer typers carry within themselves
    try:
        code = app(standalone_mode=False)
    except UserError as problem:
        typer.echo(str(problem), err=True)
        code = 2
    except usage_error as problem:
        problem.show()
        code = problem.exit_code
    except typer.Exit as stop:
        code = stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    if code == 130:
        typer.echo("Interrupted. What is done is recorded; the same command goes on from there.", err=True)
    sys.exit(code if isinstance(code, int) else 0)


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
