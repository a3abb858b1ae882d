"""MNIST and Fashion-MNIST as their four published files, packed or not."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unlearn_bench.core.errors import DataError
from unlearn_bench.data.loading import load

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 5, 6), dtype=np.uint8)
LABELS = (np.arange(40) % 10).astype(np.uint8)


def write(folder: Path, name: Callable[[str], str] = str, pack: Callable[[bytes], bytes] = bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for split, part in (("train", slice(0, 30)), ("t10k", slice(30, 40))):
        images, labels = PIXELS[part], LABELS[part]
        content = struct.pack(">iiii", 2051, *images.shape) + images.tobytes()
        (folder / name(f"{split}-images-idx3-ubyte")).write_bytes(pack(content))
        content = struct.pack(">ii", 2049, len(labels)) + labels.tobytes()
        (folder / name(f"{split}-labels-idx1-ubyte")).write_bytes(pack(content))


def packed(name: str) -> str:
    return f"{name}.gz"


def with_a_dot(name: str) -> str:
    return name.replace("-idx", ".idx")


@pytest.mark.parametrize(("dataset", "kind"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_the_published_files_are_read_wherever_people_put_them(tmp_path: Path, dataset: str, kind: str) -> None:
    write(tmp_path / "raw" / kind / "raw")
    write(tmp_path / "packed" / kind / "raw", packed, gzip.compress)
    write(tmp_path / "beside" / kind, packed, gzip.compress)
    write(tmp_path / "named" / dataset, with_a_dot)
    write(tmp_path / "kept" / dataset, packed)  # unpacked by a browser that kept the name
    found = [load(dataset, folder=tmp_path / name) for name in ("raw", "packed", "beside", "named", "kept")]
    assert len({data.digest for data in found}) == 1
    assert {image.numpy().tobytes() for image in found[0].train.pixels} == {image.tobytes() for image in PIXELS[:30]}
    assert found[0].train.pixels.shape == (30, 1, 5, 6)


def test_damaged_and_missing_files_are_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "MNIST"
    write(folder, packed, gzip.compress)
    (folder / "t10k-labels-idx1-ubyte.gz").rename(tmp_path / "kept.gz")
    with pytest.raises(DataError, match=r"MNIST lacks t10k-labels-idx1-ubyte of MNIST"):
        load("mnist", folder=tmp_path)
    for content, reason in (
        ((tmp_path / "kept.gz").read_bytes()[:20], "cannot be read"),
        (b"", "cannot be read"),
        (b"no idx file at all, but words", "cannot be read"),
        ((folder / "train-labels-idx1-ubyte.gz").read_bytes(), r"have the shapes \(10, 5, 6\) and \(30,\)"),
        (b"<html>", "cannot be read"),
    ):
        (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(content)
        with pytest.raises(DataError, match=reason):
            load("mnist", folder=tmp_path)


def test_the_labels_in_place_of_the_images_are_told(tmp_path: Path) -> None:
    write(tmp_path / "MNIST")
    labels = (tmp_path / "MNIST" / "train-labels-idx1-ubyte").read_bytes()
    (tmp_path / "MNIST" / "train-images-idx3-ubyte").write_bytes(labels)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte and its labels have the shapes \(30,\)"):
        load("mnist", folder=tmp_path)
