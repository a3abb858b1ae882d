"""The command line as a process of its own, which starts as a fork of one that has imported everything."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECONDS = 300


@functools.cache
def _server() -> str:
    """Returns the socket of this process's server, started at the first call."""
    folder = tempfile.mkdtemp(prefix="commands-")
    path = f"{folder}/socket"
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("server.py")), path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout and server.stdout.readline() == "ready\n"
    atexit.register(_end, server, folder)
    return path


def _end(server: subprocess.Popen[str], folder: str) -> None:
    server.communicate("")
    for file in Path(folder).iterdir():
        file.unlink()
    Path(folder).rmdir()


class Command:
    """A running command line, with the part of ``subprocess.Popen`` that tests use.

    Standard error is a pipe; standard output goes to a file.
    """

    def __init__(self, *arguments: str, folder: Path | None = None, **environment: str) -> None:
        self.args = list(arguments)
        self._output = tempfile.TemporaryFile("w+", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
        reading, writing = os.pipe()
        self.stderr = os.fdopen(reading, encoding="utf-8", errors="backslashreplace")
        self.returncode: int | None = None
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(_server())
        full = {**os.environ, "COLUMNS": "200", **environment}
        request = json.dumps([self.args, str(folder or Path.cwd()), full]).encode() + b"\n"
        sent = socket.send_fds(self._connection, [request], [self._output.fileno(), writing])
        self._connection.sendall(request[sent:])
        os.close(writing)
        self._lines = self._connection.makefile()
        self.pid = int(self._lines.readline())

    def wait(self, timeout: float | None = SECONDS) -> int:
        """Returns the exit code. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            self._connection.settimeout(timeout)
            try:
                self.returncode = int(self._lines.readline())
            except TimeoutError:
                self._lines = self._connection.makefile()
                raise subprocess.TimeoutExpired(self.args, timeout or 0) from None
        return self.returncode

    def communicate(self, timeout: float | None = SECONDS) -> tuple[str, str]:
        """Returns what the command wrote, once it has ended. Raises subprocess.TimeoutExpired."""
        self.wait(timeout)
        errors = self.stderr.read()
        self._output.seek(0)
        return self._output.read(), errors

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def command(*arguments: str, folder: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Returns a command line's exit code and what it wrote."""
    process = Command(*arguments, folder=folder, **environment)
    deadline = time.monotonic() + SECONDS
    try:
        output, errors = process.communicate(max(0.1, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode or 0, output, errors)
