"""The paper's data sets as they come: real files, and layouts written from real digits."""

import io
import re
import struct
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from support.command import command

from unlearn_bench.core.errors import DataError
from unlearn_bench.data.cifar100 import CLASSES, COARSE, SUPERCLASSES
from unlearn_bench.data.loading import load
from unlearn_bench.data.parquet import complete_shards


def test_cifar100_and_its_superclasses_are_the_same_images(real_data: Path) -> None:
    fine, coarse = (load(name, folder=real_data) for name in ("cifar100", "cifar20"))
    assert len(fine.classes) == len(coarse.fine_classes) == 100
    assert len(coarse.classes) == 20
    assert coarse.fine_classes[COARSE.index(4)] == "apple"
    assert torch.equal(coarse.train.labels, torch.tensor(COARSE)[coarse.train.fine])
    pixels = {image.numpy().tobytes() for image in fine.train.pixels[:500]}
    assert pixels <= {image.numpy().tobytes() for image in coarse.train.pixels}
    # four published test images are training images as well, under their label
    assert (len(fine.train), len(fine.test)) == (50_000, 9_996)
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
    with pytest.raises(DataError, match="cannot be read as a zip"):
        load("tiny_imagenet", folder=tmp_path)
    with zipfile.ZipFile(tmp_path / "tiny-imagenet-200.zip", "w") as archive:
        archive.writestr("tiny-imagenet-200/wnids.txt", "n01\n")
    with pytest.raises(DataError, match="is incomplete"):
        load("tiny_imagenet", folder=tmp_path)


def write_parquet(folder: Path, **images: int) -> None:
    """Writes files of so many grey images each, no two alike, under their names: ``train_0_of_2`` and the like."""
    folder.mkdir(parents=True, exist_ok=True)
    shade = len(list(folder.parent.rglob("*.parquet"))) * 20
    for name, number in images.items():
        rows = []
        for k in range(number):
            shade += 1
            content = io.BytesIO()
            Image.new("RGB", (32, 32), (shade, 0, 0)).save(content, "PNG")
            rows.append({"img": {"bytes": content.getvalue(), "path": None}, "label": k % 10})
        split, shard, _, total = name.split("_")
        pd.DataFrame(rows).to_parquet(folder / f"{split}-{int(shard):05}-of-{int(total):05}.parquet")


def test_a_set_of_shards_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    where = tmp_path / "cifar10"
    write_parquet(where, train_0_of_2=10, test_0_of_1=10)
    missing = re.escape(f"{where / 'train-00001-of-00002.parquet'} is missing: 1 of 2 shards are present.")
    with pytest.raises(DataError, match=missing):
        load("cifar10", folder=tmp_path)
    write_parquet(where, train_1_of_2=10)
    assert len(load("cifar10", folder=tmp_path).train) == 20
    (where / "train-00001-of-00002.parquet").rename(tmp_path / "kept.parquet")
    with pytest.raises(DataError, match=missing):  # nor does the cache hide it
        load("cifar10", folder=tmp_path)


def test_a_missing_shard_as_typed(home: Path) -> None:
    write_parquet(home / "data" / "cifar10", train_0_of_2=10, test_0_of_1=10)
    for words in (("train", "--dataset", "cifar10"), ("doctor",)):
        done = command(*words)
        said = done.stderr if words[0] == "train" else done.stdout
        assert done.returncode == (2 if words[0] == "train" else 1)
        (line,) = [line for line in said.splitlines() if "shards are present" in line]
        assert "train-00001-of-00002.parquet is missing: 1 of 2 shards are present." in line


def test_a_shard_that_lies_there_twice_is_refused(tmp_path: Path) -> None:
    where = tmp_path / "cifar10"
    write_parquet(where, train_0_of_1=10, test_0_of_1=10)
    (where / "copy").mkdir()
    name = "train-00000-of-00001.parquet"
    (where / "copy" / name).write_bytes((where / name).read_bytes())
    both = re.escape(f"{where / 'copy' / name} and {where / name} are the same shard. Keep one of them.")
    with pytest.raises(DataError, match=both):
        load("cifar10", folder=tmp_path)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["train-00000-of-00001.parquet", "train-00000-of-00002.parquet"], "belong to different sets of shards"),
        (["train-00000-of-00001.parquet", "train-more.parquet"], "belong to different sets of shards"),
        (
            ["train-00000-of-00001.parquet", "train-00001-of-00001.parquet"],
            "train-00001-of-00001.parquet is not one of",
        ),
        (["train-000000000-of-999999999.parquet"], "train-000000001-of-999999999.parquet is missing: 1 of 999999999"),
        (
            ["train-00001-of-00003-0f3a.parquet"],
            r"train-00000-of-00003-\*.parquet is missing: 1 of 3 shards are present",
        ),
        (["a/train-0.parquet", "b/train-0.parquet"], "a/train-0.parquet and b/train-0.parquet are the same shard"),
    ],
)
def test_shards_that_make_no_set_are_refused(names: list[str], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        complete_shards(Path(name) for name in names)


def test_shards_that_are_whole_are_taken() -> None:
    for names in (
        [],
        ["train-0.parquet", "train-1.parquet"],
        ["x/t-00000-of-00002-ab.parquet", "y/t-00001-of-00002-cd.parquet"],
    ):
        assert complete_shards(Path(name) for name in reversed(names)) == [Path(name) for name in names]


def test_two_zips_of_tiny_imagenet_are_refused(tmp_path: Path) -> None:
    for name in ("tiny-imagenet-200.zip", "tiny-imagenet-200-sample.zip"):
        (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(DataError, match=r"200-sample\.zip and .*200\.zip are both zips of Tiny-ImageNet\. Keep one"):
        load("tiny_imagenet", folder=tmp_path)


def test_a_tiny_imagenet_without_some_of_its_validation_images_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "tiny-imagenet-200"
    (root / "train" / "n01" / "images").mkdir(parents=True)
    (root / "val" / "images").mkdir(parents=True)
    (root / "wnids.txt").write_text("n01\n")
    (root / "words.txt").write_text("n01\tcat\n")
    (root / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn01\nval_1.JPEG\tn01\nval_2.JPEG\tn01\n")
    Image.new("RGB", (64, 64)).save(root / "train" / "n01" / "images" / "n01_0.JPEG")
    Image.new("RGB", (64, 64), "red").save(root / "val" / "images" / "val_1.JPEG")
    with pytest.raises(DataError, match=r"2 of 3 validation images are missing, first val_0\.JPEG\. Download it again"):
        load("tiny_imagenet", folder=tmp_path)
