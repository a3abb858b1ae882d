"""A log file for each command that has something to keep: what it said, and the traceback of what nobody expected."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import time
from pathlib import Path

from platformdirs import user_log_path

from unlearn_bench.processes import is_running

KEPT = 20  # files, the newest

NAME = re.compile(r"\d{8}-\d{6}-(\d+)\.log")  # when the command began, and its process

log = logging.getLogger("unlearn_bench")


class _Handler(logging.FileHandler):
    """A log that gives up where it cannot be written: no place for logs is no reason not to work."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:
            log.removeHandler(self)


def start(words: list[str]) -> None:
    """Sets up the log of this command; its file is made with the first line.

    Args:
        words: the command line, whose database passwords are left out.
    """
    file = folder() / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    handler = _Handler(file, delay=True, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.raiseExceptions = False  # nor is one that became full
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    _command[:] = [without_password(word) for word in words]


def without_password(word: str) -> str:
    """Returns a word of a command line or a message with the password of a database URL left out."""
    return re.sub(r"([?&]password=)[^&\s]*", r"\1***", re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", word))


def note(line: str) -> None:
    """Writes a line, after the command line where it is the first one."""
    _begin()
    log.info(without_password(line))


def note_unexpected(problem: BaseException) -> Path | None:
    """Writes a traceback, and returns the file that holds it; None where there is no log."""
    _begin()
    log.critical("%s: %s", type(problem).__name__, problem, exc_info=problem)
    files = [Path(handler.baseFilename) for handler in log.handlers if isinstance(handler, logging.FileHandler)]
    return next((file for file in files if file.exists()), None)


def folder() -> Path:
    """Returns where logs lie: UNLEARN_BENCH_LOGS, else the platform's own place."""
    return Path(os.environ.get("UNLEARN_BENCH_LOGS") or user_log_path("unlearn-bench", ensure_exists=False))


_command: list[str] = []


def _begin() -> None:
    if not _command:
        return
    words, _command[:] = " ".join(_command), []
    with contextlib.suppress(OSError):
        folder().mkdir(parents=True, exist_ok=True)
        named = sorted((file.name, found) for file in folder().iterdir() if (found := NAME.fullmatch(file.name)))
        for name, found in named[: -KEPT + 1]:
            if not is_running(int(found[1])):
                (folder() / name).unlink(missing_ok=True)
    log.info("unlearn-bench %s (Python %s, %s)", words, sys.version.split()[0], sys.platform)
