"""Reads files of weights by what they contain, whatever their names are, and executes no code of theirs."""

from __future__ import annotations

import json
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from torch.serialization import safe_globals

from unlearn_bench.core.errors import CheckpointError
from unlearn_bench.models.plain_objects import ALLOWED, restored

Format = Literal["safetensors", "torch", "legacy torch"]

IN_FOLDER = (  # the files of weights in a folder of the Hugging Face hub, the best first
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
)
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # with which torch began its files before version 1.6
HEAD = 512  # bytes that are enough to recognise a format
INDEX_BYTES = 64 * 2**20
SAVE = "torch.save(network.state_dict(), 'weights.pt')"
UNPACK = "Unpack it, and give the file with the weights."
TRANSFER = f"Load it with its own library, copy its arrays into the torch network, and write {SAVE}."
REFUSED: tuple[tuple[bytes, str, str], ...] = (  # pattern of the first bytes, what such a file is, what to do
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras and TensorFlow write", TRANSFER),
    (rb"\x93NUMPY", "a NumPy array", "Write torch.save({name: torch.from_numpy(array), ...}, 'weights.pt')."),
    (rb"GGUF", "a GGUF file", f"Give the weights that it was made from, written with {SAVE}."),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd", "a compressed file", UNPACK),
    (rb"Rar!|7z\xbc\xaf|.{257}ustar", "an archive of files", UNPACK),
    (rb"version https://git-lfs", "a pointer of Git LFS and not the file itself", "Fetch it with: git lfs pull."),
    (rb"\s*<", "a web page or XML", "Download the file itself."),
    (
        rb"\x80[\x00-\x05]",
        "a Python pickle, and reading it could execute code",
        f"In the program that made it, write the weights with {SAVE}.",
    ),
    (
        rb"\x08[\x01-\x20][\x12\x3a]",
        "an ONNX model",
        f"Give the weights of the torch network that it was exported from, written with {SAVE}.",
    ),
    (rb".{4}TFL3", "a TensorFlow Lite model", TRANSFER),
)
MARKS_IN_ZIP: tuple[tuple[str, str, str], ...] = (  # end of a member's name, what such an archive is, what to do
    (
        "/constants.pkl",
        "a TorchScript program",
        "Give the weights of the network that it was made from. Of a program of your own, write "
        "torch.save(torch.jit.load(FILE).state_dict(), 'weights.pt').",
    ),
    (".weights.h5", "a Keras model", TRANSFER),
    (".npy", "an archive of NumPy arrays", "Write its arrays with torch.save({name: torch.from_numpy(array), ...})."),
    (
        "serialized_exported_program.json",
        "a program of torch.export",
        f"Give the weights of its network, written with {SAVE}.",
    ),
    ("archive_format", "a program of torch.export", f"Give the weights of its network, written with {SAVE}."),
)


@dataclass(frozen=True, eq=False)
class Content:
    """What a file of weights contains.

    Attributes:
        value: the object that was saved.
        format: how it was saved.
        files: every file that was read: the given one first, then its shards.
        metadata: the text that safetensors stores beside the tensors.
    """

    value: Any
    format: Format
    files: tuple[Path, ...]
    metadata: dict[str, str] | None = None


def read_content(file: Path) -> Content:
    """Returns the content of a file of weights.

    Args:
        file: safetensors, a file of ``torch.save`` of any age, the index of shards of either, or a folder that
            contains one of these under the name that the Hugging Face hub uses.

    Raises:
        CheckpointError: the file is missing, damaged, of another format, or would execute code.
    """
    if file.is_dir():
        file = _in_folder(file)
    head = _head(file)
    return _read_shards(file) if head.lstrip().startswith(b"{") else _read_one(file, head)


def _head(file: Path) -> bytes:
    """Returns the first bytes of a file."""
    if not file.is_file():
        raise CheckpointError(f"There is no file {file}. Give a file with the weights of a model.")
    try:
        with file.open("rb") as stream:
            head = stream.read(HEAD)
    except OSError as problem:
        raise CheckpointError(f"{file} cannot be read: {problem.strerror}. Check its permissions.") from None
    if not head:
        raise CheckpointError(f"{file.name} is empty. Give a file with the weights of a model.")
    return head


def _read_one(file: Path, head: bytes) -> Content:
    """Returns the content of a file that is not an index."""
    if _is_safetensors(head, file.stat().st_size):
        return _read_safetensors(file)
    if head.startswith(b"PK\x03\x04"):
        _check_archive(file)
        return Content(_load(file), "torch", (file,))
    if head.startswith(LEGACY):
        return Content(_load(file), "legacy torch", (file,))
    raise _refusal(file, head)


def _in_folder(folder: Path) -> Path:
    found = next((folder / name for name in IN_FOLDER if (folder / name).is_file()), None)
    if found is None:
        raise CheckpointError(f"{folder} is a folder without {', '.join(IN_FOLDER)}. Give the file with the weights.")
    return found


def _is_safetensors(head: bytes, size: int) -> bool:
    """Whether a file starts as safetensors does: with the length of a header, and the header's JSON."""
    return len(head) > 8 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] <= size


def _read_safetensors(file: Path) -> Content:
    try:
        with safe_open(file, framework="pt") as opened:
            # copied: the memory of the file may start at any byte, which can change the last bit of a sum
            tensors = {name: opened.get_tensor(name).clone() for name in opened.keys()}  # noqa: SIM118
            return Content(tensors, "safetensors", (file,), opened.metadata())
    except (SafetensorError, OSError, RuntimeError, KeyError, ValueError, AttributeError):
        raise CheckpointError(f"{file.name} is a damaged safetensors file. Copy or download it again.") from None


def _check_archive(file: Path) -> None:
    """Checks that a zip archive is one of torch.save.

    Raises:
        CheckpointError: it is not; the message says what it is.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise CheckpointError(f"{file.name} is a damaged or incomplete archive. Copy or download it again.") from None
    for mark, kind, remedy in MARKS_IN_ZIP:
        if any(name.endswith(mark) for name in names):
            raise CheckpointError(f"{file.name} is {kind}; expected a file of weights. {remedy}")
    if not any(name.count("/") == 1 and name.endswith("/data.pkl") for name in names):
        raise CheckpointError(f"{file.name} is a zip archive, expected a file of weights. {UNPACK}")


def _load(file: Path) -> Any:
    """Returns the content of a file of torch.save; only tensors and plain objects are made."""
    try:
        with file.open("rb") as stream, safe_globals(ALLOWED), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they advise about the way in which the file was written
            return restored(torch.load(stream, map_location="cpu", weights_only=True))
    except UnpicklingError as problem:
        if "Unsupported operand" in str(problem):
            raise CheckpointError(
                f"{file.name} was written with a pickle protocol that cannot be read safely. In the program that made "
                f"it, leave out pickle_protocol: {SAVE}."
            ) from None
        # of the library's message only the name is passed on: the rest advises to load the file unsafely
        named = re.search(r"GLOBAL ([\w.]+)", str(problem))
        objects = f" ({named[1]})" if named else ""
        raise CheckpointError(
            f"{file.name} contains more than tensors, numbers and text{objects}, and reading it could execute code. "
            f"In the program that made it, save only the weights: {SAVE}."
        ) from None
    except MemoryError:
        raise CheckpointError(f"{file.name} needs more memory than there is. Give a smaller file.") from None
    except Exception:  # a damaged file can fail anywhere in torch
        raise CheckpointError(
            f"{file.name} is damaged or incomplete, or its objects are not plain. Copy or download it again."
        ) from None


def _read_shards(file: Path) -> Content:
    """Returns the content of all files that an index names."""
    shards = _shards_of(file)
    contents: list[Content] = []
    for name in dict.fromkeys(shards.values()):
        if Path(name).name != name or not (file.parent / name).is_file():
            shown = name if name.isprintable() else ascii(name)
            raise CheckpointError(f"{file.name} names {shown}, which is not beside it. Put all shards in one folder.")
        contents.append(_read_one(file.parent / name, _head(file.parent / name)))
    tensors = {key: value for part in contents if isinstance(part.value, Mapping) for key, value in part.value.items()}
    lacking = [name for name in shards if name not in tensors]
    if lacking:
        raise CheckpointError(f"The shards of {file.name} lack {lacking[0]!r}. Copy or download them again.")
    files = (file, *(part for content in contents for part in content.files))
    return Content(tensors, contents[0].format, files, contents[0].metadata)


def _shards_of(file: Path) -> dict[str, str]:
    """Returns the name of the file of each tensor, from an index of shards."""
    try:
        index = json.loads(file.read_bytes()) if file.stat().st_size <= INDEX_BYTES else None
    except (ValueError, RecursionError):
        index = None
    shards = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(shards, dict) or not shards or not all(isinstance(name, str) for name in shards.values()):
        raise CheckpointError(
            f"{file.name} is a text file without a weight_map, expected weights or the index of their shards, such as "
            "model.safetensors.index.json."
        )
    return shards


def _refusal(file: Path, head: bytes) -> CheckpointError:
    """Returns the error for a file that is neither safetensors nor of torch.save."""
    for pattern, kind, remedy in REFUSED:
        if re.match(pattern, head, re.DOTALL):
            return CheckpointError(f"{file.name} is {kind}; expected a file of weights. {remedy}")
    if file.suffix == ".safetensors":
        return CheckpointError(f"{file.name} is a damaged safetensors file. Copy or download it again.")
    return CheckpointError(
        f"{file.name} is neither safetensors nor a file of torch.save. Give weights that are, such as those of {SAVE}."
    )
