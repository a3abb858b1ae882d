"""An S3 server on this machine as a process of its own, which can fail requests and flip a byte of what it sends.

Run as a script, it prints its port. ``POST /faults?every=10&flips=2`` makes it refuse every tenth request from now on,
and flip a byte in each of the next two objects that it sends. It ends when its standard input closes.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "a-secret-key",
    "AWS_DEFAULT_REGION": "us-east-1",
}
BUSY = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"


class Faulty:
    """A WSGI application in front of another one, with the faults that a client asks for."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self.application = application
        self.every = self.flips = self.requests = 0

    def __call__(self, environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environment["PATH_INFO"]
        if path == "/faults":
            asked = dict(parse_qsl(environment["QUERY_STRING"]))
            self.every, self.flips, self.requests = int(asked["every"]), int(asked["flips"]), 0
            start("200 OK", [("Content-Length", "0")])
            return [b""]
        self.requests += 1
        if self.every and self.requests % self.every == 0:
            environment["wsgi.input"].read(int(environment.get("CONTENT_LENGTH") or 0))
            start("503 Slow Down", [("Content-Type", "application/xml"), ("Content-Length", str(len(BUSY)))])
            return [BUSY]
        answer = b"".join(self.application(environment, start))
        if self.flips and environment["REQUEST_METHOD"] == "GET" and path.endswith(".safetensors"):
            self.flips -= 1
            return [answer[:-1] + bytes([answer[-1] ^ 1])]
        return [answer]


class Server:
    """A running server with the empty bucket ``bucket``."""

    def __init__(self, url: str) -> None:
        self.url = url

    def post(self, path: str, method: str = "POST") -> None:
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/{path}", method=method), timeout=30).close()

    def faults(self, every: int = 0, flips: int = 0) -> None:
        """Makes the server refuse every so many requests, and flip a byte of the next so many objects."""
        self.post(f"faults?every={every}&flips={flips}")


@contextmanager
def running() -> Iterator[Server]:
    """Yields a server that ends with the block."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    try:
        server = Server(f"http://127.0.0.1:{int(process.stdout.readline())}")
        server.post("bucket", "PUT")
        yield server
    finally:
        process.communicate("")


def main() -> None:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Silent(WSGIRequestHandler):
        def log(self, *_arguments: Any) -> None:
            return

    application = Faulty(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
