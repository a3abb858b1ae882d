"""Parquet copies of CIFAR: the columns of every publisher, and copies that are no set."""

import io
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from unlearn_bench.core.errors import DataError
from unlearn_bench.data.loading import load


def write(file: Path, first: int = 0, count: int = 10, image: str = "img", label: str = "label") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    for k in range(count):
        content = io.BytesIO()
        Image.new("RGB", (32, 32), (first + k, 0, 7)).save(content, "PNG")
        rows.append({image: {"bytes": content.getvalue(), "path": None}, label: k % 10})
    pd.DataFrame(rows).to_parquet(file)


@pytest.mark.parametrize("image", ["img", "image"])
@pytest.mark.parametrize("label", ["label", "labels"])
def test_the_usual_names_of_columns_are_known(tmp_path: Path, image: str, label: str) -> None:
    for k, split in enumerate(("train", "test")):
        write(tmp_path / "cifar10" / f"{split}-00000-of-00001.parquet", 20 * k, image=image, label=label)
    data = load("cifar10", folder=tmp_path)
    assert (len(data.train), len(data.test)) == (10, 10)


def test_other_columns_are_named(tmp_path: Path) -> None:
    for k, split in enumerate(("train", "test")):
        write(tmp_path / "cifar10" / f"{split}-00000-of-00001.parquet", 20 * k, image="photo", label="kind")
    with pytest.raises(DataError, match=r"has the columns photo, kind, expected columns such as 'img' and 'label'"):
        load("cifar10", folder=tmp_path)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("train-00000-of-00002.parquet",), r"train-00001-of-00002\.parquet is missing: 1 of 2 shards"),
        (("a/train-0.parquet", "b/train-1.parquet"), "both have files of one split, perhaps copies. Keep one folder"),
        (("a/train-00000-of-00001-x.parquet", "b/train-00000-of-00001-y.parquet"), "are the same shard"),
        (("train-00000-of-00001.parquet", "train-00000-of-00001 (1).parquet"), "belong to different sets"),
    ],
)
def test_a_part_of_a_set_and_two_sets_are_told(tmp_path: Path, names: tuple[str, ...], sentence: str) -> None:
    for k, name in enumerate(names):
        write(tmp_path / "cifar10" / name, 20 * k)
    write(tmp_path / "cifar10" / "test-00000-of-00001.parquet", 100)
    with pytest.raises(DataError, match=sentence):
        load("cifar10", folder=tmp_path)


def test_a_copy_under_another_name_is_told(tmp_path: Path) -> None:
    write(tmp_path / "cifar10" / "train-0.parquet")
    write(tmp_path / "cifar10" / "train-0 copy.parquet")
    write(tmp_path / "cifar10" / "test-0.parquet", 100)
    with pytest.raises(DataError, match=r"train-0 copy\.parquet and .*train-0\.parquet have the same content"):
        load("cifar10", folder=tmp_path)


def test_companions_from_macos_are_no_shards(tmp_path: Path) -> None:
    for k, split in enumerate(("train", "test")):
        write(tmp_path / "cifar10" / f"{split}-00000-of-00001.parquet", 20 * k)
        (tmp_path / "cifar10" / f"._{split}-00000-of-00001.parquet").write_bytes(b"\0\5")
    assert len(load("cifar10", folder=tmp_path).train) == 10


def test_labels_that_are_no_class_are_told(tmp_path: Path) -> None:
    """A copy of CIFAR-100 below ``cifar10/`` would otherwise end in an unexpected error."""
    for k, split in enumerate(("train", "test")):
        file = tmp_path / "cifar10" / f"{split}-0.parquet"
        write(file, 40 * k, 20)
        table = pd.read_parquet(file)
        table["label"] = range(20)
        table.to_parquet(file)
    with pytest.raises(DataError, match="has the label 19, expected 0 to 9"):
        load("cifar10", folder=tmp_path)
