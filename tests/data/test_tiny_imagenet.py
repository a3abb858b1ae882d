"""Tiny-ImageNet as people keep it: sorted validation images, copies from macOS."""

import zipfile
from pathlib import Path

import pytest
from support.images import tiny_zip

from unlearn_bench.core.errors import DataError
from unlearn_bench.data.loading import load

ROOT = "tiny-imagenet-200"


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    tiny_zip(tmp_path / f"{ROOT}.zip")
    with zipfile.ZipFile(tmp_path / f"{ROOT}.zip") as archive:
        archive.extractall(tmp_path / "data")
    return tmp_path / "data"


@pytest.mark.parametrize("inner", ["", "images"])
def test_validation_images_may_be_sorted_into_class_folders(unpacked: Path, inner: str) -> None:
    expected = load("tiny_imagenet", folder=unpacked).digest
    images = unpacked / ROOT / "val" / "images"
    for number in (1, 2):
        folder = unpacked / ROOT / "val" / f"n{number}" / inner
        folder.mkdir(parents=True)
        (images / f"v{number}.JPEG").rename(folder / f"v{number}.JPEG")
    assert load("tiny_imagenet", folder=unpacked).digest == expected, "with the table of annotations"
    images.rmdir()
    (unpacked / ROOT / "val" / "val_annotations.txt").unlink()
    assert load("tiny_imagenet", folder=unpacked).digest == expected, "and without it"


def test_copied_instead_of_moved_images_count_once(unpacked: Path) -> None:
    expected = load("tiny_imagenet", folder=unpacked).digest
    for number in (1, 2):
        folder = unpacked / ROOT / "val" / f"n{number}"
        folder.mkdir()
        name = f"v{number}.JPEG"
        (folder / name).write_bytes((unpacked / ROOT / "val" / "images" / name).read_bytes())
    assert load("tiny_imagenet", folder=unpacked).digest == expected


def test_the_companions_that_macos_writes_are_skipped(unpacked: Path) -> None:
    expected = load("tiny_imagenet", folder=unpacked).digest
    for folder in ("train/n1/images", "val/images", ""):
        (unpacked / ROOT / folder / "._n1_0.JPEG").write_bytes(b"\0\5\x16\7")
    (unpacked / f"._{ROOT}.zip").write_bytes(b"\0\5\x16\7")
    assert load("tiny_imagenet", folder=unpacked).digest == expected
    packed = unpacked.parent / "packed"
    packed.mkdir()
    tiny_zip(packed / f"{ROOT}.zip", {f"{ROOT}/val/images/._v1.JPEG": b"\0", f"__MACOSX/{ROOT}/._train": b"\0"})
    (packed / f"._{ROOT}.zip").write_bytes(b"\0\5\x16\7")
    assert load("tiny_imagenet", folder=packed).digest == expected


def test_neither_sorted_nor_annotated_is_incomplete(unpacked: Path) -> None:
    (unpacked / ROOT / "val" / "val_annotations.txt").unlink()
    with pytest.raises(DataError, match=r"Tiny-ImageNet is incomplete: .*val_annotations\.txt"):
        load("tiny_imagenet", folder=unpacked)
