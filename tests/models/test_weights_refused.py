"""Files that are no weights, do not fit, or would run code: one sentence of our own, and nothing of them runs."""

import gzip
import io
import os
import pickle
import re
import tarfile
import zipfile
from argparse import Namespace
from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from unlearn_bench.core.errors import CheckpointError
from unlearn_bench.models.weight_files import read_weights

ADVICE = re.compile(r"weights_only|add_safe_globals|safe_globals|pickle\.load|allow_pickle|file an issue|\x1b", re.I)


class Exploit:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch {self.mark}",))


class Reduced:
    """Is pickled as a call of a function with these arguments, and a state."""

    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def __reduce__(self) -> tuple[Any, ...]:
        return self.parts


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 2))


def refusal(file: Path) -> str:
    """Returns the sentence with which a file is refused."""
    with pytest.raises(CheckpointError) as caught:
        read_weights(network(), file, "net")
    message = str(caught.value)
    assert not ADVICE.search(message), message
    assert "\n" not in message
    assert "Error" not in message
    return message


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    good = network().state_dict()
    contents: dict[str, tuple[Any, str]] = {
        "list": ([1, 2], "contains list, expected a dictionary"),
        "number": (3, "contains int, expected a dictionary"),
        "tensor": (torch.zeros(2, 3), "contains Tensor, expected a dictionary"),
        "numbers": ({"epoch": 3}, "contains dict, expected a dictionary of tensors"),
        "lacking": ({"0.weight": good["0.weight"]}, "it lacks 0.bias"),
        "no_tensor": ({**good, "0.bias": "text"}, "it lacks 0.bias"),
        "foreign": ({**good, "1.weight": good["0.bias"]}, "it has the unknown 1.weight"),
        "deeper": ({f"net.{k}": v for k, v in {**good, "0.scale": good["0.bias"]}.items()}, "unknown net.0.scale"),
        "token": ({**good, "cls_token": good["0.bias"]}, "it has the unknown cls_token"),
        "shape": ({"model": {**good, "0.bias": torch.zeros(3)}}, r"^model of shape .* 0.bias \(3,\), expected \(2,\)"),
        "nan": ({**good, "0.bias": torch.tensor([0.0, float("nan")])}, "not finite, in 0.bias"),
        "whole": ({**good, "0.bias": good["0.bias"].to(torch.int8)}, "0.bias as int8, expected float16"),
        "complex": ({**good, "0.bias": good["0.bias"].to(torch.complex64)}, r"as complex64 \(complex\)"),
        "meta": ({**good, "0.bias": good["0.bias"].to("meta")}, r"as float32 \(meta\)"),
        "sparse": ({**good, "0.weight": good["0.weight"].to_sparse()}, r"as float32 \(torch.sparse_coo\)"),
        "eight": ({**good, "0.bias": good["0.bias"].to(torch.float8_e4m3fn)}, "as float8_e4m3fn"),
        "hostile": ({**good, "0.\x1b[31m": good["0.bias"]}, r"the unknown '0.\\x1b\[31m'"),
    }
    for name, (content, says) in contents.items():
        torch.save(content, tmp_path / name)
        assert re.search(says, refusal(tmp_path / name))
    assert "There is no file" in refusal(tmp_path / "missing")


@pytest.mark.parametrize("new", [True, False])
def test_what_would_run_code_is_refused_and_does_not_run(tmp_path: Path, new: bool) -> None:
    mark = tmp_path / "ran"
    good, allowed = network().state_dict(), torch.serialization.get_safe_globals()
    hidden = Reduced(Namespace, (), {"__reduce_ex__": "x"})
    counts = Reduced(Counter, (), {"__reduce_ex__": "x"})
    pointers = Reduced(np.dtype, ("O8", False, True), (3, "|", None, None, None, -1, -1, 0))
    contents: dict[str, tuple[Any, str]] = {
        "exploit": ({"0.weight": Exploit(mark)}, r"\(posix.system\), and reading it could execute code|execute code"),
        "module": (network(), "torch.nn.modules.container.Sequential"),
        "ultralytics": ({"model": network(), "epoch": 3}, "torch.nn.modules.container.Sequential"),
        "beside": ({"state_dict": good, "hook": Exploit(mark)}, "execute code"),
        "function": ({"state_dict": good, "loss": nn.functional.relu}, "execute code"),
        "special": ({"state_dict": good, "args": hidden}, "execute code"),
        "counts": ({"state_dict": good, "n": [counts]}, "execute code"),
        "objects": ({"state_dict": good, "a": np.array([None, {}])}, "execute code"),
        "pointers": ({"state_dict": good, "n": Reduced(np._core.multiarray.scalar, (pointers, b"A" * 8))}, "execute"),
        "eval": ({"state_dict": good, "n": Reduced(eval, (f"open({str(mark)!r}, 'w')",))}, "execute code"),
        "getattr": ({"state_dict": good, "n": Reduced(getattr, (good, "keys"))}, "execute code"),
    }
    for name, (content, says) in contents.items():
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=new)
        message = refusal(tmp_path / name)
        assert re.search(says, message), message
        assert "torch.save(network.state_dict(), 'weights.pt')" in message
    torch.save(good, tmp_path / "protocol", pickle_protocol=4)
    assert "pickle" in refusal(tmp_path / "protocol")
    assert not mark.exists()
    assert set(torch.serialization.get_safe_globals()) == set(allowed)  # of the process, as before


def zipped(*names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return stream.getvalue()


def tarred() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.pth"))
    return stream.getvalue()


def arrays() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, a=np.zeros(2))
    return stream.getvalue()


FILES: dict[str, tuple[bytes, str]] = {
    "keras.h5": (b"\x89HDF\r\n\x1a\n" + b"\0" * 100, "is an HDF5 file, as Keras and TensorFlow write.*copy its arrays"),
    "new.keras": (zipped("metadata.json", "config.json", "model.weights.h5"), "is a Keras model.*copy its arrays"),
    "model.onnx": (b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:", "is an ONNX model.*network that it was exported from"),
    "program.pt2": (zipped("p/archive_format", "p/data.pkl"), "is a program of torch.export"),
    "arrays.npz": (arrays(), r"is an archive of NumPy arrays.*torch\.from_numpy"),
    "array.npy": (b"\x93NUMPY\x01\x00", "is a NumPy array"),
    "model.gguf": (b"GGUF\x03\0\0\0", "is a GGUF file"),
    "model.tflite": (b"\x1c\0\0\0TFL3", "is a TensorFlow Lite model"),
    "packed.pt.gz": (gzip.compress(b"x"), "is a compressed file.*Unpack it"),
    "packed.pth.tar": (tarred(), "is an archive of files.*Unpack it"),
    "packed.zip": (zipped("folder/model.pth"), "is a zip archive.*Unpack it"),
    "pointer.safetensors": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a pointer of Git LFS"),
    "page.pth": (b"\n<!DOCTYPE html><html>Sign in</html>", "is a web page.*Download the file itself"),
    "plain.pkl": (pickle.dumps({"a": 1}, protocol=4), "is a Python pickle"),
    "old.pkl": (pickle.dumps({"a": 1}, protocol=2), "is a Python pickle"),
    "words.txt": (b"weights", "neither safetensors nor a file of torch.save"),
    "settings.json": (b'{"lr": 0.1}', "a text file without a weight_map"),
    "deep.json": (b'{"a":' * 100_000, "a text file without a weight_map"),
    "empty.pt": (b"", "is empty"),
    "cut.pt": (b"PK\x03\x04 broken", "a damaged or incomplete archive"),
    "noise.safetensors": (b"\xff" * 64, "a damaged safetensors file"),
    "header.safetensors": (b"\x10" + b"\0" * 7 + b'{"a": {"dtype": "F32"}}', "a damaged safetensors file"),
    "inner.pt": (zipped("m/data.pkl", "m/version"), "damaged or incomplete"),
}


@pytest.mark.parametrize("name", FILES)
def test_other_files_are_named_with_what_to_do(tmp_path: Path, name: str) -> None:
    content, says = FILES[name]
    (tmp_path / name).write_bytes(content)
    assert re.search(says, refusal(tmp_path / name))


def test_a_torchscript_file_is_named_without_unsafe_advice(tmp_path: Path) -> None:
    torch.jit.trace(network(), torch.zeros(1, 3)).save(str(tmp_path / "script.pt"))
    assert "is a TorchScript program" in refusal(tmp_path / "script.pt")


@pytest.mark.parametrize("new", [True, False])
def test_files_cut_anywhere_are_refused(tmp_path: Path, new: bool) -> None:
    torch.save(OrderedDict(network().state_dict()), tmp_path / "whole", _use_new_zipfile_serialization=new)
    content = (tmp_path / "whole").read_bytes()
    for end in range(1, len(content), 97):
        (tmp_path / "cut").write_bytes(content[:end])
        refusal(tmp_path / "cut")
