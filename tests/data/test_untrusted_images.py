"""Images and archives that a stranger hands over, hostile or odd: refused with a sentence, and nothing of them runs."""

import contextlib
import io
import os
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from support.images import picture, tiny_zip, write_images

from unlearn_bench.core.errors import DataError
from unlearn_bench.core.progress import silent
from unlearn_bench.data import decode
from unlearn_bench.data.loading import load


def test_an_archive_that_names_places_outside_writes_nothing(tmp_path: Path) -> None:
    data = tmp_path / "deep" / "data"
    data.mkdir(parents=True)
    outside = {
        "../../evil.txt": b"x",
        "/evil.txt": b"x",
        "tiny-imagenet-200/train/n1/images/../../../../evil.JPEG": b"x",
    }
    tiny_zip(data / "tiny-imagenet-200.zip", outside)
    before = sorted(tmp_path.rglob("*"))
    with contextlib.suppress(DataError):
        load("tiny_imagenet", folder=data)
    assert [path for path in sorted(tmp_path.rglob("*")) if "cache" not in path.parts] == before
    assert not Path("/evil.txt").exists()


def test_an_archive_that_unpacks_to_far_more_than_images_is_refused(tmp_path: Path) -> None:
    tiny_zip(tmp_path / "tiny-imagenet-200.zip", {"tiny-imagenet-200/words.txt": b"\0" * (64 * 2**20)})
    with pytest.raises(DataError, match=r"words.txt has 67,108,864 bytes, expected at most 33,554,432"):
        load("tiny_imagenet", folder=tmp_path)


def test_an_image_of_gigabytes_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path / "own")
    monkeypatch.setattr(decode, "MOST_PIXELS", 40)
    with pytest.raises(DataError, match=r"8×8 pixels, expected 1 to 40"):
        load(f"folder:{tmp_path / 'own'}", folder=tmp_path)


def test_more_images_than_the_memory_holds_are_refused_before_they_are_read() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (4096, 4096)).save(stream, "PNG")
    read: list[int] = []

    def content(position: int) -> bytes:
        read.append(position)
        return stream.getvalue()

    with pytest.raises(DataError, match=r"^1,000,000 images of 4096×4096 pixels take 46,875 GiB"):
        decode.decode(range(10**6), content, str, silent, "decode")
    assert read == [0]


@pytest.mark.parametrize("name", ["red\x1b[31m", "two\nlines", "bell\a"])
@pytest.mark.skipif(sys.platform == "win32", reason="such names cannot be made there")
def test_class_names_that_a_terminal_would_obey_are_refused(tmp_path: Path, name: str) -> None:
    write_images(tmp_path / "own", classes=("plain", name))
    with pytest.raises(DataError, match="unprintable ones"):
        load(f"folder:{tmp_path / 'own'}", folder=tmp_path)


def test_an_image_never_starts_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow would hand an EPS to Ghostscript, whatever its name is."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path / 'started'}\n")
    (tools / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    write_images(tmp_path / "own")
    (tmp_path / "own" / "a" / "0.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n")
    with pytest.raises(DataError, match="its format is unknown"):
        load(f"folder:{tmp_path / 'own'}", folder=tmp_path)
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"label": [0.5, 1.9]},
        {"label": [None, 1]},
        {"label": ["cat", "dog"]},
        {"label": [-1, 1]},
        {"img": [2**45, 7]},
        {"img": [None, b""]},
        {"img": [], "label": []},
    ],
    ids=str,
)
def test_parquet_columns_of_other_things_are_refused(tmp_path: Path, change: dict[str, list[object]]) -> None:
    (tmp_path / "cifar10").mkdir()
    good = {"img": [{"bytes": picture(1, "PNG", 32)}, {"bytes": picture(2, "PNG", 32)}], "label": [0, 1]}
    for split in ("train", "test"):
        pd.DataFrame(good | change).to_parquet(tmp_path / "cifar10" / f"{split}-0.parquet")
    with pytest.raises(DataError):
        load("cifar10", folder=tmp_path)


@pytest.mark.parametrize("packed", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_archive_packed_in_a_way_that_cannot_be_bounded_is_refused(tmp_path: Path, packed: int) -> None:
    file = tmp_path / "tiny-imagenet-200.zip"
    tiny_zip(file)
    with zipfile.ZipFile(file, "a", packed) as archive:
        archive.writestr("tiny-imagenet-200/train/n1/images/bomb.JPEG", b"\0" * 10_000)
    with pytest.raises(DataError, match="neither stored nor deflated"):
        load("tiny_imagenet", folder=tmp_path)


def test_an_annotation_of_an_unknown_class_is_left_out(tmp_path: Path) -> None:
    lines = b"v1.JPEG\tn1\t0\nv2.JPEG\tn2\t0\nv3.JPEG\tn9\t0\n"
    extra = {"tiny-imagenet-200/val/images/v3.JPEG": picture(9)}
    tiny_zip(tmp_path / "tiny-imagenet-200.zip", extra | {"tiny-imagenet-200/val/val_annotations.txt": lines})
    assert load("tiny_imagenet", folder=tmp_path).test_images == 2


def test_image_files_whose_names_are_no_text_are_read(tmp_path: Path) -> None:
    write_images(tmp_path / "own")
    file = next((tmp_path / "own").rglob("*.png"))
    file.rename(file.parent / os.fsdecode(b"caf\xe9.png"))
    assert len(load(f"folder:{tmp_path / 'own'}", folder=tmp_path).train) > 0
