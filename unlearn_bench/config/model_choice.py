"""The network of a command: the profile's or the user's, and the file of weights from which its training starts.

Does not import torch, because reports use it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from unlearn_bench.core.errors import CheckpointError, OptionError
from unlearn_bench.core.files import file_digest
from unlearn_bench.core.spec import PRETRAINED

LIBRARIES = ("torchvision:", "timm:")  # their networks are described by the words of the user alone
FILE_KEY = "pretrained"  # of a profile's model: the file of weights


@dataclass(frozen=True)
class Pretrained:
    """A file of public weights, from which original and retrained models start.

    Attributes:
        file: its path.
        digest: its SHA-256, which is part of the identity of runs.
    """

    file: Path
    digest: str


@dataclass(frozen=True)
class ModelChoice:
    """What a user says about the network on the command line or from Python; empty for the profile's.

    Attributes:
        name: of the network, as in ``model`` of a profile; None for the profile's, with all its arguments.
        arguments: of the network; with a name in place of the profile's, else added to them.
        pretrained: a file of weights.
        completed: the whole description of a network whose code states defaults, see
            :func:`unlearn_bench.running.network_choice.completed`.

    Raises:
        OptionError: an argument is not one of the network.
    """

    name: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    pretrained: Path | None = None
    completed: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """Checks the names of the arguments."""
        remedies = {
            "name": "the name of the network comes from --model",
            "weights": "starting weights come from a file, with --pretrained",
            PRETRAINED: "starting weights come from a file, with --pretrained",
        }
        for name in remedies.keys() & self.arguments.keys():
            raise OptionError(f"--argument {name}={self.arguments[name]}: {remedies[name]}. Leave this argument out.")

    @property
    def words(self) -> list[str]:
        """The command-line options that make this choice."""
        words = ["--model", self.name] if self.name is not None else []
        words += [word for name, value in self.arguments.items() for word in ("--argument", f"{name}={_word(value)}")]
        return words + (["--pretrained", str(self.pretrained)] if self.pretrained is not None else [])

    def description(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the description of the network without starting weights.

        Args:
            own: ``model`` of the profile.
        """
        if self.completed is not None:
            return dict(self.completed)
        named = {"name": self.name} if self.name is not None else _without_file(own)
        return {**named, **self.arguments}


OF_PROFILE = ModelChoice()


def network_of(
    own: Mapping[str, Any], choice: ModelChoice, *, home: Path, owner: str
) -> tuple[dict[str, Any], Pretrained | None]:
    """Returns the description of the network that runs use, as their identity has it, and its starting weights.

    Args:
        own: ``model`` of the profile. Its key ``pretrained`` belongs to its network and not to another one.
        choice: what the user chose.
        home: folder from which the profile's paths start; those of the user start from the working folder.
        owner: place of ``own`` in benchmarks.yaml, for messages.

    Raises:
        CheckpointError: the file of weights is missing, cannot be read, or is not one file.
    """
    description = choice.description(own)
    pretrained = None
    if choice.pretrained is not None:
        pretrained = _read(choice.pretrained.expanduser(), f"--pretrained {choice.pretrained}")
    elif choice.name is None and isinstance(words := own.get(FILE_KEY), str):
        pretrained = _read(home / Path(words).expanduser(), f"{owner}.{FILE_KEY}: {words}")
    return {**description, **({PRETRAINED: pretrained.digest} if pretrained else {})}, pretrained


def check_unchanged(pretrained: Pretrained) -> None:
    """Checks that the file is still the one whose digest identifies the runs.

    Raises:
        CheckpointError: it is not.
    """
    if not pretrained.file.is_file() or file_digest(pretrained.file) != pretrained.digest:
        raise CheckpointError(
            f"{pretrained.file} changed after this command read it. Run the command again: it makes the runs of the "
            "changed file."
        )


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _without_file(own: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the profile's description; a value of ``pretrained`` that is no text is an argument of the network."""
    return {key: value for key, value in own.items() if key != FILE_KEY or not isinstance(value, str)}


def _read(file: Path, words: str) -> Pretrained:
    what = None
    if file.is_dir():
        what = "is a folder. Give the file of weights in it, such as model.safetensors"
    elif not file.is_file():
        what = "does not exist. Give the path of a file of weights, such as resnet18.pth"
    elif file.suffix == ".json":
        what = "is an index of several files. Give one file with all weights"
    if what:
        raise CheckpointError(f"{words} {what}.")
    try:
        status = file.stat()
        return Pretrained(file, _digest(file.resolve(), status.st_mtime_ns, status.st_size))
    except OSError as problem:
        raise CheckpointError(f"{words} cannot be read: {problem.strerror}. Check its permissions.") from None


@lru_cache(maxsize=8)  # a table asks once for each of its rows
def _digest(file: Path, _changed: int, _size: int) -> str:
    return file_digest(file)
