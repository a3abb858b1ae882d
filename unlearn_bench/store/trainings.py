"""Files of trainings in progress, beside the checkpoints: a line of JSON that describes the state, then the state."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unlearn_bench.core.errors import CheckpointError
from unlearn_bench.core.files import atomic_write

SUFFIX = ".training"
LONGEST_LINE = 1 << 16  # bytes of a description


class Header(BaseModel):
    """The description of a saved training.

    Attributes:
        format: of the file; a change to what is saved changes it.
        title: of the run.
        step, steps: number of steps that are made, and of all steps.
        made_with: versions, machine and device, which must be the same to continue with the same bits.
        content: SHA-256 of the state.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    format: Literal[1] = 1
    title: str
    step: int = Field(ge=0)
    steps: int = Field(ge=0)
    made_with: dict[str, str]
    content: str


class TrainingFile:
    """The file of a model's training in progress.

    The process that holds the lease of the model writes it. If two processes write it nevertheless, because one took
    over the lease of another that still runs, each file is whole, and both lead to the same weights.
    """

    def __init__(self, folder: Path, key: str, title: str, made_with: Mapping[str, str]) -> None:
        """Takes the folder of models, the key of the model, and the description of what this process writes."""
        self.path = file_of(folder, key)
        self.title = title
        self._made_with = dict(made_with)

    def write(self, content: bytes, step: int, steps: int) -> None:
        """Replaces the saved state.

        Raises:
            FileError: the file cannot be written; the previous state remains.
        """
        digest = hashlib.sha256(content).hexdigest()
        header = Header(title=self.title, step=step, steps=steps, made_with=self._made_with, content=digest)
        with atomic_write(self.path) as part, part.open("wb") as stream:
            stream.write(header.model_dump_json().encode() + b"\n")
            stream.write(content)

    def read(self) -> bytes | None:
        """Returns the saved state; None if there is none.

        Raises:
            CheckpointError: the file is damaged, or its bits would not be continued by this process.
        """
        try:
            line, _, content = self.path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        except OSError as problem:
            raise CheckpointError(f"{self.path} cannot be read: {problem.strerror}") from None
        header = _parsed(line)
        if header is None or header.content != hashlib.sha256(content).hexdigest():
            raise CheckpointError(f"{self.path} is damaged or of another version")
        for name in sorted({*self._made_with, *header.made_with}):
            saved, here = header.made_with.get(name), self._made_with.get(name)
            if saved != here:
                raise CheckpointError(f"it was saved with another {name}: {saved}, now {here}")
        return content

    def header(self) -> Header | None:
        """Returns the description of the saved state, if this process can continue it."""
        header = read_header(self.path)
        return header if header is not None and header.made_with == self._made_with else None


def file_of(folder: Path, key: str) -> Path:
    """Returns the path of the training in progress of a model."""
    return folder / f"{key}{SUFFIX}"


def read_header(file: Path) -> Header | None:
    """Returns the description of a saved training; None if the file does not exist or has no valid description."""
    try:
        with file.open("rb") as stream:
            return _parsed(stream.readline(LONGEST_LINE))
    except OSError:
        return None


def remove(folder: Path, key: str) -> None:
    """Deletes the saved training of a model, if it exists. If that fails, ``doctor`` finds the file."""
    with contextlib.suppress(OSError):
        file_of(folder, key).unlink(missing_ok=True)


def _parsed(line: bytes) -> Header | None:
    try:
        return Header.model_validate_json(line)
    except ValidationError:
        return None
