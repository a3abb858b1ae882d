"""Folders of images as people have them: photos of any size, the litter of systems, splits under their usual names."""

import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.photos import loaded, photo, photos

from unlearn_bench.core.errors import DataError, DataNotice
from unlearn_bench.core.sources import Reading
from unlearn_bench.data import Dataset
from unlearn_bench.data.scenarios import scenarios

pytestmark = pytest.mark.filterwarnings("error::unlearn_bench.core.errors.DataNotice")


def images(data: Dataset) -> int:
    return len(data.train) + len(data.test)


def test_photos_of_different_sizes_are_resized_to_their_centre_square(tmp_path: Path) -> None:
    root = photos(tmp_path / "own")
    photo(root / "cat" / "tall.png", 7, 20, 61)
    with pytest.raises(DataError, match=r"tall\.png has 20×61 pixels, expected 12×10.*2 sizes\. Give --size, such as"):
        loaded(root)
    data = loaded(root, Reading(size=8))
    assert data.train.pixels.shape[1:] == data.test.pixels.shape[1:] == (3, 8, 8)
    assert data.name == "folder:own@8"


def test_the_centre_square_of_a_photo_is_what_a_reader_expects(tmp_path: Path) -> None:
    """The left third of a wide image is red, the right third blue, the middle green, which is left but for its edge."""
    for number in range(4):
        wide = np.zeros((30, 90, 3), np.uint8)
        for k in range(3):
            wide[:, 30 * k : 30 * k + 30, (0, 1, 2)[k]] = 200 + number
        folder = tmp_path / "own" / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(wide).save(folder / f"{number}.png")
    data = loaded(tmp_path / "own", Reading(size=10))
    pixels = torch.cat([data.train.pixels, data.test.pixels])
    assert not pixels[:, (0, 2), :, 1:-1].any()
    assert (pixels[:, 1, :, 1:-1] >= 200).all()


def test_two_sizes_are_two_data_sets_and_a_size_that_images_have_changes_no_pixel(tmp_path: Path) -> None:
    root = photos(tmp_path / "own", width=10)
    as_is, same, small = loaded(root), loaded(root, Reading(size=10)), loaded(root, Reading(size=5))
    assert as_is.digest == same.digest != small.digest
    assert small.train.pixels.shape[2:] == (5, 5)
    assert loaded(root).train.pixels.shape[2:] == (10, 10)  # the cache holds both
    assert [data.name for data in (as_is, same, small)] == ["folder:own", "folder:own@10", "folder:own@5"]


def test_litter_is_skipped_without_a_word(tmp_path: Path) -> None:
    root = photos(tmp_path / "own", "cat", "dog")
    before = loaded(root).digest
    (root / "__MACOSX" / "cat").mkdir(parents=True)
    (root / "@eaDir").mkdir()
    (root / "__MACOSX" / "cat" / "._0.png").write_bytes(b"\0\5\x16\7")
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._0.png", "Icon\r", "ehthumbs.db"):
        (root / "cat" / name).write_bytes(b"litter")
    assert loaded(root).digest == before


def test_unknown_files_are_named_and_counted_and_strict_stops(tmp_path: Path) -> None:
    root = photos(tmp_path / "own")
    before = loaded(root).digest
    (root / "cat" / "labels.txt").write_text("0.png cat")
    (root / "README.md").write_text("mine")
    photo(root / "loose.png", 99)
    named = r"Not read in .*own, being no images .* \(3\): README\.md, cat/labels\.txt, loose\.png\."
    with pytest.warns(DataNotice, match=named):
        assert loaded(root).digest == before
    with pytest.raises(DataError, match=f"{named} Remove them, or leave out --strict"):
        loaded(root, Reading(is_strict=True))


def test_an_image_with_another_ending_is_known_by_its_content(tmp_path: Path) -> None:
    root = photos(tmp_path / "own")
    for name, kind in (("photo.jpg_large", "JPEG"), ("download", "PNG"), ("UPPER.JPG", "JPEG")):
        Image.fromarray(np.full((10, 12, 3), len(name), np.uint8)).save(root / "cat" / name, kind)
    assert images(loaded(root)) == 9


def test_nested_images_belong_to_the_class_folder_and_it_is_said(tmp_path: Path) -> None:
    root = photos(tmp_path / "own", "cat", "dog", "cat/set1", "cat/set1/deep", "dog/set2")
    with pytest.warns(DataNotice, match="9 images in folders below the class folders"):
        data = loaded(root)
    assert (images(data), data.classes) == (15, ("cat", "dog"))


@pytest.mark.parametrize("train", ["train", "Training", "TRAIN"])
@pytest.mark.parametrize("test", ["test", "testing", "val", "valid", "validation", "dev", "Val"])
def test_usual_names_of_splits_are_known(tmp_path: Path, train: str, test: str) -> None:
    root = photos(tmp_path / "own", f"{train}/cat", f"{train}/dog", f"{test}/cat", f"{test}/dog", count=2)
    data = loaded(root)
    assert (len(data.train), len(data.test), data.classes) == (4, 4, ("cat", "dog"))


def test_of_several_test_splits_the_test_split_is_read_and_the_others_are_named(tmp_path: Path) -> None:
    root = photos(tmp_path / "own", *(f"{split}/{name}" for split in ("train", "val", "test") for name in "ab"))
    with pytest.warns(DataNotice, match=r"Not read .*: val/\."):
        data = loaded(root)
    assert (len(data.train), len(data.test)) == (6, 6)
    shutil.rmtree(root / "val")
    assert loaded(root).digest == data.digest


def test_a_test_split_without_labels_is_left_out(tmp_path: Path) -> None:
    """As competitions publish it: test images lie side by side."""
    root = photos(tmp_path / "own", "train/cat", "train/dog", "test", count=5)
    with pytest.warns(DataNotice) as notices:
        data = loaded(root)
    said = " ".join(str(notice.message) for notice in notices)
    assert "a fifth of each class in train/ is the test split" in said
    assert "Not read" in said and "test/" in said
    assert (len(data.train), len(data.test)) == (8, 2)


def test_a_training_split_alone_is_divided_and_the_known_names_are_told(tmp_path: Path) -> None:
    root = photos(tmp_path / "own", "train/cat", "train/dog", count=5)
    with pytest.warns(DataNotice, match="Known names of test splits: test, testing, val, valid, validation, dev"):
        data = loaded(root)
    assert data.digest == loaded(root / "train").digest


def test_a_split_of_an_unknown_name_is_not_taken_for_a_class(tmp_path: Path) -> None:
    root = photos(tmp_path / "own", "train/cat", "train/dog", "holdout/cat", "holdout/dog")
    with pytest.raises(DataError, match=r"beside holdout.*Folders of splits are called train or training.*--layout"):
        loaded(root)
    with pytest.warns(DataNotice):
        data = loaded(root, Reading(layout="classes"))
    assert data.classes == ("holdout", "train")
    photos(root / "only", "val/cat", "val/dog")
    with pytest.raises(DataError, match=r"val has class folders, but there is no folder of training images"):
        loaded(root / "only")


def test_classes_may_be_called_train_and_test(tmp_path: Path) -> None:
    root = photos(tmp_path / "vehicles", "bus", "test", "train")
    for layout in ("auto", "classes"):
        assert loaded(root, Reading(layout=layout)).classes == ("bus", "test", "train")
    photos(root, "train/steam", "test/crash")
    with pytest.warns(DataNotice, match="6 images in folders below"):
        assert loaded(root, Reading(layout="classes")).classes == ("bus", "test", "train")
    with pytest.raises(DataError, match="no folder of training images"):
        loaded(root, Reading(layout="splits"))


def test_classes_that_are_numbers_are_asked_for_by_name_or_index(tmp_path: Path) -> None:
    data = loaded(photos(tmp_path / "own", "1", "10", "2"))
    forget = scenarios.get("class").function
    with pytest.raises(
        DataError, match=r"'1' is the name of class 0 .* the number of class '10'. Write name:1 or index"
    ):
        forget(data, "1")
    assert [forget(data, words).classes for words in ("name:1", "index:1", "10", "name:2", "index:0")] == [
        *((0,), (1,), (1,), (2,), (0,))
    ]
    for words in ("name:3", "index:3", "index:x", "name:"):
        with pytest.raises(DataError, match=f"Class '{words}' is not in folder:own"):
            forget(data, words)


def test_all_broken_files_are_in_one_list(tmp_path: Path) -> None:
    root = photos(tmp_path / "own", *(f"{split}/{name}" for split in ("train", "test") for name in "ab"), count=8)
    for k in range(7):
        (root / "train" / "a" / f"{k}.png").write_bytes(b"nothing")
        whole = (root / "test" / "b" / f"{k}.png").read_bytes()
        (root / "test" / "b" / f"{k}.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        DataError, match=r"^14 files cannot be read as images: .*0\.png: its format is unknown; "
    ) as told:
        loaded(root)
    assert str(told.value).count(".png") == 10
    assert str(told.value).endswith("; …. Remove or replace them.")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_as_their_camera_was_held(tmp_path: Path, orientation: int) -> None:
    upright = Image.fromarray(np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3))
    turns = [None, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM]
    turns += [Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_90, Image.Transpose.TRANSVERSE]
    turns += [Image.Transpose.ROTATE_270]
    turn = turns[orientation - 1]
    stored = upright if turn is None else upright.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for k, name in enumerate(("cat", "cat", "dog", "dog")):
        file = tmp_path / "own" / name / f"{k}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        stored.point(lambda value, k=k: value + k).save(file, exif=exif)
    pixels = loaded(tmp_path / "own").train.pixels
    assert pixels.shape[2:] == (6, 4)
    content = {tuple((image - image.min()).flatten().tolist()) for image in pixels}
    assert content == {tuple(np.asarray(upright).transpose(2, 0, 1).flatten().tolist())}


def test_names_in_decomposed_characters_are_the_same_classes(tmp_path: Path) -> None:
    """macOS writes ``é`` as two characters, and Linux and a keyboard as one."""
    mac, other = (unicodedata.normalize(form, "café") for form in ("NFD", "NFC"))
    root = photos(tmp_path / "own", f"train/{mac}", "train/ice", "train/tea", f"val/{other}", "val/ice", "val/tea")
    data = loaded(root)
    assert data.classes == (other, "ice", "tea")
    assert scenarios.get("class").function(data, other).classes == (0,)


def test_splits_with_different_classes_name_the_difference(tmp_path: Path) -> None:
    root = photos(tmp_path / "own", "train/a", "train/b", "train/c", "test/a", "test/b", "test/d")
    with pytest.raises(DataError, match=r"test lacks c, and .*train lacks d\. Give both the same"):
        loaded(root)


def test_colour_in_one_split_makes_both_colour(tmp_path: Path) -> None:
    root = photos(tmp_path / "own", "train/a", "train/b", "test/a", "test/b")
    for file in (root / "train").rglob("*.png"):
        Image.open(file).convert("L").save(file)
    data = loaded(root)
    assert data.train.pixels.shape[1] == data.test.pixels.shape[1] == 3


def test_a_folder_around_the_folder_is_told(tmp_path: Path) -> None:
    photos(tmp_path / "own" / "own", "cat", "dog")
    with pytest.raises(DataError, match=r"1 class folder \(own\).*Or give the folder within: folder:.*own/own"):
        loaded(tmp_path / "own")


def test_an_empty_class_folder_is_told(tmp_path: Path) -> None:
    root = photos(tmp_path / "own")
    (root / "fox").mkdir()
    with pytest.raises(DataError, match=r"The class folder .*fox contains no images"):
        loaded(root)


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_images_side_by_side_with_a_table_of_labels(tmp_path: Path, ending: str) -> None:
    root = photos(tmp_path / "own", "train", "test", count=4)
    for split in ("train", "test"):
        rows = [(f"{k}.png", ("cat", "dog")[k % 2]) for k in range(4)]
        text = "file_name,label\n" + "".join(f"{name},{label}\n" for name, label in rows)
        if ending == "jsonl":
            text = "".join(f'{{"file_name": "{name}", "label": "{label}"}}\n' for name, label in rows)
        (root / split / f"metadata.{ending}").write_text(text)
    data = loaded(root)
    assert (len(data.train), len(data.test), data.classes) == (4, 4, ("cat", "dog"))
    (root / "train" / "1.png").unlink()
    with pytest.raises(DataError, match=r"1 of 4 images in .*metadata.* do not exist: .*1\.png"):
        loaded(root)
