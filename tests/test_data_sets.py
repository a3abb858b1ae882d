"""The paper's data sets as they come: real files, and layouts written from real digits."""

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from unlearn_bench.data.cifar100 import CLASSES, COARSE, SUPERCLASSES
from unlearn_bench.data.loading import load
from unlearn_bench.errors import DataError


def test_cifar100_and_its_superclasses_are_the_same_images(real_data: Path) -> None:
    fine, coarse = (load(name, folder=real_data) for name in ("cifar100", "cifar20"))
    assert len(fine.classes) == len(coarse.fine_classes) == 100
    assert len(coarse.classes) == 20
    assert coarse.fine_classes[COARSE.index(4)] == "apple"
    assert torch.equal(coarse.train.labels, torch.tensor(COARSE)[coarse.train.fine])
    pixels = {image.numpy().tobytes() for image in fine.train.pixels[:500]}
    assert pixels <= {image.numpy().tobytes() for image in coarse.train.pixels}
    # two published test images are training images as well, under their label
    assert len(fine.test) == 9_998
    assert not set(fine.train.digests) & set(fine.test.digests)


def test_the_table_of_superclasses_is_the_published_one(real_data: Path) -> None:
    import json

    import pandas as pd
    import pyarrow.parquet as pq

    file = next((real_data / "cifar100").glob("test-*.parquet"))
    metadata = pq.read_schema(file).metadata
    assert tuple(json.loads(metadata[b"classes"])) == CLASSES
    assert tuple(json.loads(metadata[b"superclasses"])) == tuple(SUPERCLASSES)
    labels = pd.read_parquet(file, columns=["fine_label", "coarse_label"]).drop_duplicates()
    assert {(row.fine_label, row.coarse_label) for row in labels.itertuples()} == set(enumerate(COARSE))


def test_tiny_imagenet_from_the_zip_and_unpacked(real_data: Path, tmp_path: Path) -> None:
    found = load("tiny_imagenet", folder=real_data)
    assert (len(found.train), len(found.test), len(found.classes)) == (4_000, 1_000, 200)
    assert found.train.pixels.shape[1:] == (3, 64, 64)
    assert torch.bincount(found.train.labels).tolist() == [20] * 200
    assert found.classes[0] == "Egyptian cat"
    grey = (found.train.pixels == found.train.pixels[:, :1]).all(dim=1).flatten(1).all(dim=1)
    grey_test = (found.test.pixels == found.test.pixels[:, :1]).all(dim=1).flatten(1).all(dim=1)
    assert int(grey.sum()) + int(grey_test.sum()) >= 88
    with zipfile.ZipFile(next(real_data.glob("tiny-imagenet-200*.zip"))) as archive:
        archive.extractall(tmp_path)
    assert load("tiny_imagenet", folder=tmp_path).digest == found.digest


def test_torchvisions_mnist_layout(tmp_path: Path) -> None:
    """Real digits in MNIST's own file format, since its checksums guard only its download."""
    bunch = load_digits()
    pixels = np.kron(np.rint(bunch.images * 255 / 16), np.ones((1, 3, 3)))[:, :24, :24].astype(np.uint8)
    pixels = np.pad(pixels, ((0, 0), (2, 2), (2, 2)))
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for split, part in (("train", slice(0, 1400)), ("t10k", slice(1400, None))):
        images, labels = pixels[part], bunch.target[part].astype(np.uint8)
        (raw / f"{split}-images-idx3-ubyte").write_bytes(
            struct.pack(">iiii", 2051, len(images), 28, 28) + images.tobytes()
        )
        (raw / f"{split}-labels-idx1-ubyte").write_bytes(struct.pack(">ii", 2049, len(labels)) + labels.tobytes())
    found = load("mnist", folder=tmp_path)
    assert found.train.pixels.shape == (1400, 1, 28, 28)
    assert sorted(image.numpy().tobytes() for image in found.train.pixels[:, 0]) == sorted(
        image.tobytes() for image in pixels[:1400]
    )


@pytest.mark.parametrize("name", ["cifar100", "cifar20", "tiny_imagenet", "mnist", "svhn"])
def test_a_missing_data_set_is_one_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--data"):
        load(name, folder=tmp_path)


def test_a_damaged_zip_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "tiny-imagenet-200.zip").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match="is no zip that can be read"):
        load("tiny_imagenet", folder=tmp_path)
    with zipfile.ZipFile(tmp_path / "tiny-imagenet-200.zip", "w") as archive:
        archive.writestr("tiny-imagenet-200/wnids.txt", "n01\n")
    with pytest.raises(DataError, match="is incomplete"):
        load("tiny_imagenet", folder=tmp_path)
