"""A zip in place of a folder, links, and paths as people type them."""

from pathlib import Path

import pytest
from support.photos import loaded, packed, photos

from unlearn_bench.core.errors import DataError
from unlearn_bench.data import Dataset

pytestmark = pytest.mark.filterwarnings("error::unlearn_bench.core.errors.DataNotice")


def images(data: Dataset) -> int:
    return len(data.train) + len(data.test)


def test_a_zip_is_the_folder_that_it_holds(tmp_path: Path) -> None:
    root = photos(tmp_path / "own", "cat", "dog")
    expected = loaded(root)
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX" / "._cat").write_bytes(b"x")
    for number, prefix in enumerate(("", "own/", "own\\", "download/2024/own/")):
        (tmp_path / str(number)).mkdir()
        data = loaded(packed(root, tmp_path / str(number) / "own.zip", prefix))
        assert (data.digest, data.classes, data.name) == (expected.digest, expected.classes, "folder:own")


def test_a_zip_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "no.zip").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match=r"no\.zip is neither a folder nor a zip"):
        loaded(tmp_path / "no.zip")
    whole = packed(photos(tmp_path / "own"), tmp_path / "own.zip").read_bytes()
    at = whole.index(b"IDAT") + 20
    (tmp_path / "bad.zip").write_bytes(whole[:at] + bytes(20) + whole[at + 20 :])
    with pytest.raises(DataError, match=r"bad\.zip/cat/0\.png cannot be read as an image: Bad CRC-32"):
        loaded(tmp_path / "bad.zip")


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos(tmp_path / "photos")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert images(loaded(Path("~/photos"))) == 6


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    photos(tmp_path / "store", "one", "two")
    root = tmp_path / "own"
    root.mkdir()
    (root / "cat").symlink_to(tmp_path / "store" / "one")
    (root / "dog").symlink_to(tmp_path / "store" / "two")
    first = loaded(root)
    (root / "cat" / "up").symlink_to(root)
    (tmp_path / "store" / "one" / "self").symlink_to(tmp_path / "store" / "one")
    assert loaded(root).digest == first.digest
    for name, kept in (("cat", "two"), ("dog", "one")):
        (root / name).unlink()
        (root / name).symlink_to(tmp_path / "store" / kept)
    assert loaded(root).digest != first.digest, "the same files in other classes are another data set"


def test_a_link_to_nothing_is_a_broken_file(tmp_path: Path) -> None:
    root = photos(tmp_path / "own")
    (root / "cat" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match=r"gone\.png cannot be read as an image: No such file"):
        loaded(root)


def test_an_encrypted_zip_and_another_archive_are_one_sentence(tmp_path: Path) -> None:
    file = packed(photos(tmp_path / "own"), tmp_path / "own.zip")
    content = bytearray(file.read_bytes())
    for start in (b"PK\x03\x04", b"PK\x01\x02"):  # in both headers of each file, the bit that says "encrypted"
        at = content.find(start)
        while at >= 0:
            content[at + (6 if start == b"PK\x03\x04" else 8)] |= 1
            at = content.find(start, at + 4)
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"own\.zip is encrypted\. Unpack it"):
        loaded(file)
    (tmp_path / "own.tar.gz").write_bytes(b"\x1f\x8b nothing")
    with pytest.raises(DataError, match=r"own\.tar\.gz is neither a folder nor a zip\. Unpack it"):
        loaded(tmp_path / "own.tar.gz")


def test_a_zip_with_paths_out_of_its_folder_writes_nothing(tmp_path: Path) -> None:
    root = photos(tmp_path / "own")
    file = packed(root, tmp_path / "own.zip", "../../")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError):
        loaded(file)
    assert sorted(tmp_path.rglob("*")) == before
