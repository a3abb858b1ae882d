"""Data sets in Parquet files, as Hugging Face publishes them."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.images import picture
from support.photos import loaded

from unlearn_bench.core.errors import DataError, DataNotice
from unlearn_bench.core.sources import Reading

pytestmark = pytest.mark.filterwarnings("error::unlearn_bench.core.errors.DataNotice")
NAMES = ["cat", "dog", "fox"]


def write(
    file: Path,
    labels: list[Any],
    *,
    seed: int = 0,
    image: str = "image",
    label: str = "label",
    features: dict[str, Any] | None = None,
    size: int = 8,
) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    cells = [{"bytes": picture(seed + k, "PNG", size), "path": None} for k in range(len(labels))]
    table = pa.table({image: cells, label: labels})
    if features is not None:
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        table = table.replace_schema_metadata(metadata)
    pq.write_table(table, file)


def typed(image: str = "image", label: str = "label") -> dict[str, Any]:
    return {image: {"_type": "Image"}, label: {"names": NAMES, "_type": "ClassLabel"}}


def test_a_published_data_set_with_names_of_classes(tmp_path: Path) -> None:
    root = tmp_path / "pets"
    for k in range(2):
        write(root / "data" / f"train-{k:05}-of-00002.parquet", [0, 1, 2] * 2, seed=10 * k, features=typed())
    write(root / "data" / "test-00000-of-00001.parquet", [0, 1, 2], seed=50, features=typed())
    (root / "README.md").write_text("a card")
    data = loaded(root, kind="parquet")
    assert (data.classes, len(data.train), len(data.test), data.name) == (tuple(NAMES), 12, 3, "parquet:pets")
    (root / "data" / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(DataError, match=r"train-00001-of-00002\.parquet is missing: 1 of 2 shards"):
        loaded(root, kind="parquet")


@pytest.mark.parametrize(
    ("image", "label"), [("img", "fine_label"), ("image", "labels"), ("picture", "breed"), ("image", "fine_labels")]
)
def test_columns_are_found_by_their_types_and_by_usual_names(tmp_path: Path, image: str, label: str) -> None:
    for name, seed in (("train", 0), ("test", 30)):
        features = typed(image, label)
        write(tmp_path / "x" / f"{name}.parquet", [0, 1, 2], seed=seed, image=image, label=label, features=features)
    assert loaded(tmp_path / "x", kind="parquet").classes == tuple(NAMES)


def test_without_names_classes_are_numbers_and_words_are_names(tmp_path: Path) -> None:
    write(tmp_path / "numbers" / "train.parquet", [0, 1, 2] * 5)
    write(tmp_path / "words" / "train.parquet", ["fox", "cat", "dog"] * 5)
    with pytest.warns(DataNotice, match="has no test split: a fifth of each class"):
        numbers = loaded(tmp_path / "numbers", kind="parquet")
        words = loaded(tmp_path / "words", kind="parquet")
    assert numbers.classes == ("0", "1", "2")
    assert words.classes == ("cat", "dog", "fox")
    assert (len(words.train), len(words.test)) == (12, 3)


def test_layouts_of_files(tmp_path: Path) -> None:
    for names in (
        ("default/train/0000.parquet", "default/validation/0000.parquet"),
        ("train/0000.parquet", "test/0000.parquet"),
        ("plain_text/train-0.parquet", "plain_text/val-0.parquet"),
        ("training.parquet", "dev.parquet"),
    ):
        root = tmp_path / names[0].replace("/", "-")
        for k, name in enumerate(names):
            write(root / name, [0, 1, 2], seed=30 * k, features=typed())
        (root / "._train.parquet").write_bytes(b"litter")
        assert len(loaded(root, kind="parquet").test) == 3
    write(tmp_path / "one.parquet", [0, 1] * 5)
    with pytest.warns(DataNotice, match="no test split"):
        assert len(loaded(tmp_path / "one.parquet", kind="parquet").train) == 8


def test_a_split_with_hidden_labels_is_left_out(tmp_path: Path) -> None:
    for k, (split, labels) in enumerate((("train", [0, 1, 2]), ("validation", [0, 1, 2]), ("test", [-1, -1, -1]))):
        write(tmp_path / "x" / f"{split}-00000-of-00001.parquet", labels, seed=30 * k, features=typed())
    with pytest.warns(DataNotice, match="The split 'test' of .* has no labels and is not read"):
        data = loaded(tmp_path / "x", kind="parquet")
    assert len(data.test) == 3


def test_images_of_different_sizes_are_resized(tmp_path: Path) -> None:
    write(tmp_path / "x" / "train.parquet", [0, 1, 2], size=9)
    write(tmp_path / "x" / "test.parquet", [0, 1, 2], size=12, seed=30)
    with pytest.raises(DataError, match=r"Image 3 of .* has 12×12 pixels, expected 9×9.*Give --size"):
        loaded(tmp_path / "x", kind="parquet")
    data = loaded(tmp_path / "x", Reading(size=8), kind="parquet")
    assert (data.name, data.train.pixels.shape[2:]) == ("parquet:x@8", (8, 8))


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    write(tmp_path / "several" / "a" / "train.parquet", [0, 1])
    write(tmp_path / "several" / "b" / "train.parquet", [0, 1], seed=9)
    write(tmp_path / "odd" / "train.parquet", [0, 1], image="photo", label="kind")
    write(tmp_path / "late" / "test.parquet", [0, 1])
    for k, split in enumerate(("train", "test")):
        write(tmp_path / "big" / f"{split}.parquet", [0, 7], features=typed(), seed=9 * k)
    write(tmp_path / "only" / "train.parquet", ["cat", "dog"])
    write(tmp_path / "only" / "test.parquet", ["cat", "fox"], seed=9)
    (tmp_path / "arrow").mkdir()
    (tmp_path / "arrow" / "data-00000-of-00001.arrow").write_bytes(b"x")
    for name, sentence in {
        "nowhere": "There is no folder",
        "several": "in several folders: a, b. Give one of them",
        "odd": "has no column of images. Its columns are photo, kind; call the one to read image",
        "late": r"has no files train-\*\.parquet, but test",
        "big": "has the label 7, but only 3 names of classes",
        "only": "The class 'fox' .* has test images only",
        "arrow": "contains no Parquet files.*saved by save_to_disk; save it with to_parquet",
    }.items():
        with pytest.raises(DataError, match=sentence):
            loaded(tmp_path / name, kind="parquet")


def test_a_copy_of_a_file_is_told(tmp_path: Path) -> None:
    write(tmp_path / "x" / "train-a.parquet", [0, 1])
    (tmp_path / "x" / "train-a (1).parquet").write_bytes((tmp_path / "x" / "train-a.parquet").read_bytes())
    with pytest.raises(DataError, match=r"have the same content\. Keep one"):
        loaded(tmp_path / "x", kind="parquet")
