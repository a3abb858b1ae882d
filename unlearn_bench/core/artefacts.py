"""Artefacts, the weights and outputs of runs: files in a folder on disk, or in shared storage.

A record names an artefact by its file name and its SHA-256. Whatever has another SHA-256 is never read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from unlearn_bench.core.files import atomic_write, file_digest, is_intact

SUFFIX = ".safetensors"


class Artefacts(ABC):
    """The artefacts of one kind, such as all checkpoints.

    Attributes:
        path: the folder on this machine with the files or, for shared storage, with copies of them.
        is_shared: whether the files lie in shared storage.
    """

    path: Path
    is_shared: bool

    @abstractmethod
    def locate(self, name: str) -> str:
        """Returns the full path or URL of an artefact, for messages."""

    @abstractmethod
    def find(self, name: str, digest: str) -> Path | None:
        """Returns a file on this machine with that SHA-256; None if the artefact is missing or damaged.

        Raises:
            StorageError: shared storage cannot be reached.
        """

    @abstractmethod
    def write(self, name: str, fill: Callable[[Path], None]) -> str:
        """Writes an artefact and returns its SHA-256. Readers see the previous file or the whole new one.

        Args:
            name: its file name.
            fill: writes the content to the temporary file that it is called with.

        Raises:
            FileError: the disk is full, or the folder cannot be written.
            StorageError: shared storage cannot be written.
        """

    @abstractmethod
    def names(self) -> set[str]:
        """Returns the names of all artefacts that exist, intact or not."""

    @abstractmethod
    def exists(self, name: str) -> bool:
        """Returns whether an artefact exists, intact or not."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Deletes an artefact, if it exists."""

    @abstractmethod
    def check(self) -> None:
        """Writes, reads and deletes a small file in shared storage. A folder on disk needs no check.

        Raises:
            StorageError: one of the three fails.
        """


class Folder(Artefacts):
    """Artefacts in a folder on disk."""

    is_shared = False

    def __init__(self, path: Path) -> None:
        """Takes the folder. The first artefact creates it."""
        self.path = path

    def locate(self, name: str) -> str:
        """Returns the path of an artefact."""
        return str(self.path / name)

    def find(self, name: str, digest: str) -> Path | None:
        """Returns the path of an artefact if its SHA-256 is ``digest``."""
        file = self.path / name
        return file if is_intact(file, digest) else None

    def write(self, name: str, fill: Callable[[Path], None]) -> str:
        """Writes an artefact atomically and returns its SHA-256."""
        with atomic_write(self.path / name) as part:
            fill(part)
            return file_digest(part)

    def names(self) -> set[str]:
        """Returns the names of the files in the folder."""
        return {file.name for file in self.path.glob(f"*{SUFFIX}")}

    def exists(self, name: str) -> bool:
        """Returns whether the file exists."""
        return (self.path / name).is_file()

    def remove(self, name: str) -> None:
        """Deletes a file, if it exists."""
        (self.path / name).unlink(missing_ok=True)

    def check(self) -> None:
        """Does nothing: the first artefact says whether the folder can be written."""
