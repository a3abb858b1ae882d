"""A log file for each command that logs a line: its messages and the traceback of an unexpected error."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import time
from pathlib import Path

from platformdirs import user_log_path

from unlearn_bench.core.processes import is_running

KEPT = 20  # number of log files to keep, the newest

NAME = re.compile(r"\d{8}-\d{6}-(\d+)\.log")  # start time of the command, and its process id

# a part of a URL's query, such as password=…, secret_key=…, X-Amz-Signature=…
SECRET = re.compile(r"([?&][^=&\s]*(?:pass|secret|key|token|sig)[^=&\s]*=)[^&\s]*", re.IGNORECASE)

log = logging.getLogger("unlearn_bench")


class _Handler(logging.FileHandler):
    """A file handler that removes itself on a write error, so that a command never fails because of its log."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:
            log.removeHandler(self)


def start(words: list[str]) -> None:
    """Sets up the log of this command. The first line creates the file.

    Args:
        words: the command line; the log omits passwords in URLs.
    """
    file = folder() / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    handler = _Handler(file, delay=True, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.raiseExceptions = False  # a full disk must not print a traceback
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    _command[:] = [without_password(word) for word in words]


def without_password(word: str) -> str:
    """Returns a word of a command line, or a message, with ``***`` in place of a password or key in a URL."""
    return re.sub(SECRET, r"\1***", re.sub(r"(://[^:/@\s]*):[^@\s]*@", r"\1:***@", word))


def note(line: str) -> None:
    """Writes a line. Writes the command line before the first line."""
    _begin()
    log.info(without_password(line))


def note_unexpected(problem: BaseException) -> Path | None:
    """Writes a traceback and returns the log file, or None if there is no log file."""
    _begin()
    log.critical("%s: %s", type(problem).__name__, problem, exc_info=problem)
    files = [Path(handler.baseFilename) for handler in log.handlers if isinstance(handler, logging.FileHandler)]
    return next((file for file in files if file.exists()), None)


def folder() -> Path:
    """Returns the folder of log files: UNLEARN_BENCH_LOGS if it is set, else the platform's log folder."""
    return Path(os.environ.get("UNLEARN_BENCH_LOGS") or user_log_path("unlearn-bench", ensure_exists=False))


_command: list[str] = []


def _begin() -> None:
    if not _command:
        return
    words, _command[:] = " ".join(_command), []
    with contextlib.suppress(OSError):
        folder().mkdir(parents=True, exist_ok=True)
        matches = sorted((file.name, match) for file in folder().iterdir() if (match := NAME.fullmatch(file.name)))
        for name, match in matches[: -KEPT + 1]:
            if not is_running(int(match[1])):
                (folder() / name).unlink(missing_ok=True)
    log.info("unlearn-bench %s (Python %s, %s)", words, sys.version.split()[0], sys.platform)
