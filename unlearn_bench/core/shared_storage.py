"""Artefacts in shared storage: any URL that fsspec opens, such as ``s3://bucket/prefix``, with copies on this machine.

Credentials come from the environment, as the library of the storage reads them. They are in no URL, message or record.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import re
import time
import uuid
from collections.abc import Callable
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from unlearn_bench.core import artefact_cache
from unlearn_bench.core.artefacts import SUFFIX, Artefacts, Folder
from unlearn_bench.core.errors import OptionError, StorageError, reason_of

ATTEMPTS = 5
FIRST_DELAY = 0.5  # seconds before the second attempt; each later delay is twice as long
DOWNLOADS = 2  # before an object counts as damaged: a byte may have changed on the way
PERMANENT = (FileNotFoundError, NotADirectoryError, PermissionError, NotImplementedError, ValueError, TypeError)
# storage where a new object appears at once and whole; elsewhere, a file is written under another name and moved
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oci", "ocilake", "oss", "tos"}
LOCAL = ("file", "local")
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

T = TypeVar("T")


class _MissingError(Exception):
    """The object does not exist, or is damaged. No OSError, which a write to the local disk reports as its own."""


def artefacts_at(location: str, kind: str) -> Artefacts:
    """Returns the artefacts of a kind, such as ``models``, at a URL or in a folder.

    Raises:
        OptionError: the URL contains credentials or a query, its kind of storage is unknown, a package is missing, or
            the folder is a file.
    """
    protocol, separator, rest = location.partition("://")
    if not separator:
        if re.match(r"[a-z][a-z0-9]+:", location):
            raise OptionError(
                f"'{location}' is neither a URL nor a folder. Give one such as s3://bucket/prefix, or a folder."
            )
        return _folder(Path(location).expanduser(), kind)
    _check_plain(protocol, rest)
    if protocol in LOCAL:
        from fsspec.implementations.local import LocalFileSystem

        return _folder(Path(LocalFileSystem._strip_protocol(location)), kind)
    _check_known(location, protocol)
    artefact_cache.limit_bytes()
    return SharedFolder(location, kind)


def _folder(path: Path, kind: str) -> Folder:
    if path.exists() and not path.is_dir():
        raise OptionError(f"The artefacts cannot be in {path}, which is not a folder. Give a folder, or a URL.")
    return Folder(path / kind)


def _check_plain(protocol: str, rest: str) -> None:
    """Checks that a URL has no credentials. The message does not repeat the URL, which may hold a secret."""
    host = rest.split("/", 1)[0]
    # abfs://container@account/… and s3://arn:aws:s3:…:accesspoint/… have these signs without credentials
    is_bucket = protocol in OBJECT_STORES and not protocol.startswith("abfs") and not host.startswith("arn:")
    if re.match(r"[^@]*:[^@]*@", rest) or re.search(r"[?#]", rest) or (is_bucket and re.search("[:@]", host)):
        raise OptionError(
            f"The URL of the artefacts ({protocol}://…) contains credentials or a query. Give the plain URL, such as "
            "s3://bucket/prefix; credentials come from the environment, such as AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY."
        )
    if not re.fullmatch(r"\w+", protocol) or "::" in rest or not (host or protocol in (*LOCAL, "memory", "hdfs")):
        raise OptionError(
            f"'{protocol}://{rest}' is not a URL for artefacts. Give one such as s3://bucket/prefix, or a folder."
        )


def _check_known(location: str, protocol: str) -> None:
    from fsspec.registry import known_implementations, registry

    if protocol in registry:
        return
    if protocol not in known_implementations:
        raise OptionError(
            f"The artefacts' URL {location} begins with '{protocol}', which fsspec does not know. Use s3, gs, abfs, "
            "sftp or another kind of storage that it knows, or a folder."
        )
    package = known_implementations[protocol]["class"].split(".")[0]
    if find_spec(package) is None:
        name = "'unlearn-bench[s3]'" if package == "s3fs" else package
        raise OptionError(
            f"The artefacts' URL {location} needs the Python package {package}, which is not installed. Install it "
            f"with: pip install {name}"
        )


class SharedFolder(Artefacts):
    """Artefacts below a URL. Each is copied to this machine before it is read; the SHA-256 of the copy is checked."""

    is_shared = True

    def __init__(self, location: str, kind: str) -> None:
        """Takes the URL and the kind. Nothing is connected before the first access."""
        location = location.rstrip("/")
        self._protocol = location.partition("://")[0]
        self._url = f"{location}/{kind}"
        self.path = artefact_cache.folder() / hashlib.sha256(location.encode()).hexdigest()[:16] / kind
        self._copies = Folder(self.path)

    def locate(self, name: str) -> str:
        """Returns the URL of an artefact."""
        return f"{self._url}/{name}"

    def find(self, name: str, digest: str) -> Path | None:
        """Returns an intact copy of an artefact, downloaded if there is none."""
        if Path(name).name != name:
            return None  # a tampered record must not lead out of the folder
        for _ in range(DOWNLOADS):
            artefact_cache.mark_used(self.path / name)  # before the check, so that no process deletes it meanwhile
            if copy := self._copies.find(name, digest):
                return copy
            if not self._download(name):
                return None
        return self._copies.find(name, digest)

    def _download(self, name: str) -> bool:
        """Copies an object to this machine; returns whether it exists."""

        def get(part: Path) -> None:
            self._attempt("read", name, lambda: self._system.get_file(self._key(name), str(part)))

        try:
            self._copies.write(name, get)
        except _MissingError:
            return False
        artefact_cache.trim()
        return True

    def write(self, name: str, fill: Callable[[Path], None]) -> str:
        """Writes an artefact here, uploads it, and keeps it as a copy once it has arrived whole."""

        def fill_and_upload(part: Path) -> None:
            fill(part)
            self._attempt("written", name, lambda: self._put(part, name))

        digest = self._copies.write(name, fill_and_upload)
        artefact_cache.trim()
        return digest

    def _put(self, part: Path, name: str) -> None:
        system, target = self._system, self._key(name)
        if self._protocol in OBJECT_STORES:
            system.put_file(str(part), target)
            self._check_size(part, target)
            return
        system.makedirs(self._key(""), exist_ok=True)
        temporary = self._key(f".{name}.{uuid.uuid4().hex}.part")
        try:
            system.put_file(str(part), temporary)
            self._check_size(part, temporary)
            system.mv(temporary, target)
        except BaseException:
            with contextlib.suppress(Exception):
                system.rm_file(temporary)
            raise

    def _check_size(self, part: Path, key: str) -> None:
        self._system.invalidate_cache()
        arrived, size = self._system.info(key)["size"], part.stat().st_size
        if arrived != size:
            raise OSError(f"{arrived} of {size} bytes have arrived")

    def names(self) -> set[str]:
        """Returns the names of the objects below the URL."""

        def listed() -> list[str]:
            self._system.invalidate_cache()
            return list(self._system.ls(self._key(""), detail=False))

        try:
            found = self._attempt("listed", "", listed)
        except _MissingError:  # object stores have no empty folders
            return set()
        names = (key.rstrip("/").rsplit("/", 1)[-1] for key in found)
        return {name for name in names if name.endswith(SUFFIX) and not name.startswith(".")}

    def exists(self, name: str) -> bool:
        """Returns whether the object exists."""

        def look() -> bool:
            self._system.invalidate_cache()
            return bool(self._system.exists(self._key(name)))

        return self._attempt("read", name, look)

    def remove(self, name: str) -> None:
        """Deletes an object and its copy."""
        self._copies.remove(name)
        with contextlib.suppress(_MissingError):
            self._attempt("deleted", name, lambda: self._system.rm_file(self._key(name)))

    def check(self) -> None:
        """Writes, reads and deletes a small object."""
        name, content = f".check-{uuid.uuid4().hex}", uuid.uuid4().bytes
        key = self._key(name)
        steps: list[tuple[str, Callable[[], object]]] = [
            ("written", lambda: self._system.pipe_file(key, content)),
            ("read", lambda: self._system.cat_file(key)),
            ("deleted", lambda: self._system.rm_file(key)),
        ]
        if self._protocol not in OBJECT_STORES:
            steps.insert(0, ("written", lambda: self._system.makedirs(self._key(""), exist_ok=True)))
        for verb, step in steps:
            try:
                read = self._attempt(verb, name, step)
            except _MissingError:
                raise self._error(verb, name, "the bucket or folder does not exist") from None
            if verb == "read" and read != content:
                raise self._error(verb, name, "it differs from what was written")

    @cached_property
    def _system(self) -> Any:
        from fsspec.core import url_to_fs

        return url_to_fs(self._url)[0]

    def _key(self, name: str) -> str:
        return str(self._system._strip_protocol(self.locate(name) if name else self._url))

    def _attempt(self, verb: str, name: str, work: Callable[[], T]) -> T:
        """Returns the result of ``work``, repeated with growing delays if it fails for a reason that may pass.

        Raises:
            _MissingError: the object, or its bucket, does not exist, or the object is damaged.
            StorageError: every attempt failed, or the first for a reason that does not pass.
        """
        for attempt in range(ATTEMPTS):
            try:
                return work()
            except FileNotFoundError:
                if verb != "written":
                    raise _MissingError from None
                raise self._error(verb, name, "the bucket or folder does not exist") from None
            except Exception as problem:  # each storage has its own errors
                if getattr(problem, "errno", None) in DISK_FULL:
                    raise  # of this machine, as the write to it reports
                passes = not isinstance(problem, PERMANENT) and "Credential" not in type(problem).__name__
                if "Checksum" in type(problem).__name__ and attempt == ATTEMPTS - 1:
                    raise _MissingError from None  # the library of the storage found that the object is damaged
                if not passes or attempt == ATTEMPTS - 1:
                    raise self._error(verb, name, reason_of(problem)) from None
                time.sleep(FIRST_DELAY * 2**attempt)
        raise AssertionError("not reached")

    def _error(self, verb: str, name: str, reason: str) -> StorageError:
        where = self.locate(name) if name else self._url
        return StorageError(
            f"{where} cannot be {verb}: {reason}. Check the URL, the network and the credentials in the environment; "
            "then run the same command again. Finished runs are recorded."
        )
