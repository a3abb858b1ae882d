"""Data sets of one's own, as typed."""

from pathlib import Path

import pytest
from support.command import command
from support.photos import photo, photos


@pytest.fixture
def own(home: Path) -> Path:
    """Photos of two sizes and a file that is no image, in the working folder."""
    root = photos(home / "photos", "cat", "dog", "fox", count=5)
    photo(root / "cat" / "tall.png", 7, 16, 40)
    (root / "notes.txt").write_text("mine")
    return home


def test_photos_of_different_sizes(own: Path) -> None:
    words = ("train", "--dataset", "folder:photos", "--forget", "cat")
    refused = command(*words)
    assert refused.returncode == 2
    assert "Give --size, such as --size 10" in refused.stderr
    done = command(*words, "--size", "8")
    assert (done.returncode, "notes.txt" in done.stderr) == (0, True), done.stderr
    assert "0 of 2 runs made" in command(*words, "--size", "8").stderr, "from the same images"
    assert "2 of 2 runs made" in command(*words, "--size", "9").stderr, "another size is another data set"
    listed = command("runs").stdout
    assert "folder:photos@8" in listed and "folder:photos@9" in listed
    strict = command(*words, "--size", "8", "--strict")
    assert (strict.returncode, "Remove them, or leave out --strict" in strict.stderr) == (2, True)
    report = command("report", "--table", "3", "--dataset", "folder:photos", "--size", "8", "--forget", "cat")
    assert report.returncode == 0, report.stderr


def test_a_missing_run_names_the_command_with_the_size(own: Path) -> None:
    command("train", "--dataset", "folder:photos", "--forget", "cat", "--size", "8")
    report = command("report", "--table", "3", "--dataset", "folder:photos", "--size", "12", "--forget", "cat")
    assert report.returncode == 2
    assert "--dataset folder:photos" in report.stderr and "--size 12" in report.stderr


def test_a_function_of_a_file(own: Path) -> None:
    (own / "code").mkdir()
    (own / "code" / "sets.py").write_text(
        "from torch.utils.data import Subset\nfrom torchvision.datasets import ImageFolder\n\n"
        "def make():\n    data = ImageFolder('photos')\n"
        "    return Subset(data, range(0, 16, 2)), Subset(data, range(1, 16, 2))\n"
    )
    words = ("train", "--dataset", "code/sets.py:make", "--forget", "dog", "--size", "8")
    done = command(*words)
    assert (done.returncode, "2 of 2 runs made" in done.stderr) == (0, True), done.stderr
    assert "0 of 2 runs made" in command(*words).stderr
    assert "sets.py:make@8" in command("runs").stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--dataset", "digits", "--size", "8"), "--size 8 is for folder:PATH, parquet:PATH or FILE.py:FUNCTION, and"),
        (("--size", "8"), "--size 8 is for folder:PATH"),
        (("--dataset", "parquet:p", "--layout", "classes"), "--layout classes is for folder:PATH, and the data set is"),
        (("--dataset", "folder:photos", "--size", "0"), "--size is 0, expected 1 to 4096 pixels."),
        (("--dataset", "folder:photos", "--layout", "deep"), "--layout is 'deep', expected auto, classes or splits."),
        (("--dataset", "photos"), "For a folder of images, give folder:photos."),
    ],
)
def test_what_does_not_fit_together_is_one_sentence(own: Path, words: tuple[str, ...], sentence: str) -> None:
    done = command("train", *words)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
