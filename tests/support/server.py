"""A process that has imported everything and starts each command as a fork of itself: a start costs no imports.

Run as a script with the path of a UNIX socket. A client sends, on a connection of its own, one JSON line (arguments,
working folder, environment) with two file descriptors, for standard output and standard error; it receives the
process id and, at the end, the exit code as ``subprocess`` counts it. The server ends when its standard input closes.
"""

import atexit
import gc
import json
import os
import selectors
import socket
import sys

import pandas
import sklearn.linear_model
import torch._dynamo  # the first optimizer imports it

import unlearn_bench.api
import unlearn_bench.auditing
import unlearn_bench.checks.conformance
import unlearn_bench.checks.doctor
import unlearn_bench.checks.regression
import unlearn_bench.report.pages
import unlearn_bench.running.making
import unlearn_bench.running.tuning
import unlearn_bench.store.exchange
from unlearn_bench import cli

IMPORTED = (pandas, sklearn, torch, unlearn_bench)


def use_one_core(arguments: list[str], environment: dict[str, str]) -> None:
    """Gives a command that names no number of workers one core, so that it makes its runs without starting workers.

    Each worker would import everything once more. Tests of workers say ``--workers 2``. Processes of pytest-xdist get
    different cores.
    """
    if hasattr(os, "sched_setaffinity") and "--workers" not in arguments:
        cores = sorted(os.sched_getaffinity(0))
        number = int(environment.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        os.sched_setaffinity(0, {cores[number % len(cores)]})


def run(arguments: list[str], folder: str, environment: dict[str, str], output: int, errors: int) -> None:
    """Becomes the command; returns never."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (errors, 2)):
        os.dup2(source, target)
    for descriptor in (nothing, output, errors):
        os.close(descriptor)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = folder  # as `python -m` has it
    packages = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[1:1] = [path for path in packages if path and path not in sys.path]
    sys.argv = ["unlearn-bench", *arguments]
    use_one_core(arguments, environment)
    code = 0
    try:
        cli.main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)  # taking every module apart would copy all of the server's memory


def watch(connection: socket.socket) -> None:
    """Starts the command that a client asks for, and tells the client its process id and its exit code."""
    request, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 2)
    while not request.endswith(b"\n"):
        request += connection.recv(1 << 20)
    arguments, folder, environment = json.loads(request)
    child = os.fork()
    if child == 0:
        connection.close()
        run(arguments, folder, environment, *descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    connection.sendall(f"{child}\n".encode())
    _, status = os.waitpid(child, 0)
    connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def main() -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen()
    gc.freeze()  # a collection in a fork would copy what it looks at
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    waiting = selectors.DefaultSelector()
    waiting.register(listener, selectors.EVENT_READ)
    waiting.register(sys.stdin.fileno(), selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            if key.fileobj is not listener:
                return
            connection, _ = listener.accept()
            if os.fork() == 0:  # one process waits for each command
                listener.close()
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                watch(connection)
                os._exit(0)
            connection.close()
            while os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG):  # those that are done
                pass


if __name__ == "__main__":
    main()
