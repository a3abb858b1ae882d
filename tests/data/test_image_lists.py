"""Lists of images: which training images a file means, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from support.photos import loaded, packed, photo, photos

from unlearn_bench.core.errors import DataError, DataNotice
from unlearn_bench.core.forget_words import canonical_forget
from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data.decode import to_pixels
from unlearn_bench.data.loading import load
from unlearn_bench.data.scenarios import split_dataset

SPLITS = ("train/cat", "train/dog", "test/cat", "test/dog")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photos with a test split, in the working folder."""
    monkeypatch.chdir(tmp_path)
    return photos(tmp_path / "photos", *SPLITS, count=5)


def listed(dataset: Dataset, *lines: str, name: str = "some.txt") -> ForgetSplit:
    Path(name).write_text("\n".join(lines), encoding="utf-8")
    return split_dataset(dataset, "list", name, {})


def pixels_in(file: Path) -> torch.Tensor:
    from PIL import Image

    from unlearn_bench.core.sources import AS_IT_IS

    with Image.open(file) as image:
        return torch.from_numpy(to_pixels(image, AS_IT_IS)[0].copy()).permute(2, 0, 1)


def is_of(split: ForgetSplit, *files: Path) -> bool:
    """Whether the forget set consists of the images in these files."""
    chosen = {image.numpy().tobytes() for image in split.train.pixels[split.forget]}
    return chosen == {pixels_in(file).numpy().tobytes() for file in files} and len(split.forget) == len(files)


def test_paths_in_every_form_mean_the_same_images(root: Path) -> None:
    data = loaded(root)
    files = (root / "train/dog/3.png", root / "train/cat/0.png")
    split = listed(data, "# wrong", "", "train/dog/3.png", "  train/cat/0.png ")
    assert is_of(split, *files)
    assert split.has_counterpart is False and split.classes == ()
    assert split.test_retain.all()
    for forms in (
        [str(file) for file in files],
        ["photos/train/dog/3.png", "./photos/train/cat/0.png"],
        ["train\\dog\\3.png", "train\\cat\\0.png", "# of Windows"],
    ):
        assert listed(data, *forms).digest == split.digest, forms
    by_column = listed(data, "label,file_name", '1,"train/dog/3.png"', "0,train/cat/0.png", name="some.csv")
    assert by_column.digest == split.digest
    assert listed(data, "train/dog/3.png", "train/cat/0.png", name="plain.csv").digest == split.digest
    assert listed(data, "\ufefftrain/dog/3.png", "train/cat/0.png").digest == split.digest


def test_indices_count_the_files_and_not_the_hashes(root: Path) -> None:
    data = loaded(root)
    ordered = [*sorted((root / "train/cat").iterdir()), *sorted((root / "train/dog").iterdir())]
    for index in (0, 4, 7):
        assert is_of(listed(data, str(index)), ordered[index])


def test_a_zip_and_a_split_by_hashes(root: Path) -> None:
    assert is_of(listed(loaded(packed(root, root.parent / "all.zip")), "train/dog/3.png"), root / "train/dog/3.png")
    flat = root / "train"
    data, found, refused = loaded(flat), 0, 0
    for file in sorted(flat.glob("*/*.png")):
        try:
            split = listed(data, file.relative_to(flat).as_posix())
        except DataError as problem:
            assert "are test images" in str(problem) and "a fifth of each class" in str(problem)
            refused += 1
        else:
            found += is_of(split, file)
    assert (found, refused) == (8, 2)


def test_copies_of_an_image_are_one_where_the_split_is_made_here(root: Path) -> None:
    flat = root / "train"
    data = loaded(flat)
    kept = next(name for name in ("cat/0.png", "cat/1.png", "cat/2.png") if _is_training(data, name))
    shutil.copy(flat / kept, flat / "cat/copy.png")
    again = loaded(flat)
    assert again.digest == data.digest
    assert is_of(listed(again, kept, "cat/copy.png"), flat / kept)


def _is_training(data: Dataset, name: str) -> bool:
    try:
        return len(listed(data, name).forget) == 1
    except DataError:
        return False


def test_digits_and_functions_are_listed_by_index(root: Path) -> None:
    digits = load("digits", folder=Path("nowhere"))
    from sklearn.datasets import load_digits

    image = load_digits().images[7]
    split = listed(digits, "7")
    assert split.train.pixels[split.forget][0, 0].float().sub(torch.tensor(image * 255 / 16)).abs().max() <= 0.5
    Path("own.py").write_text(
        "from PIL import Image\n\ndef make():\n"
        "    items = [(Image.new('RGB', (6, 6), (9 * k, 0, 0)), k % 2) for k in range(12)]\n"
        "    return items[:8], items[8:]\n"
    )
    own = load("own.py:make", folder=Path())
    split = listed(own, "6")
    assert int(split.train.pixels[split.forget][0, 0, 0, 0]) == 54
    with pytest.raises(
        DataError, match=r"1 of 1 lines of some.txt are no indices: cat.png. The images of this data set"
    ):
        listed(own, "cat.png")


def test_a_list_is_recorded_by_its_lines_whatever_their_order_and_its_files_name(root: Path) -> None:
    data = loaded(root)
    one, two = listed(data, "3", "1", name="a.txt"), listed(data, "# two", "1", "3", name="b.txt")
    assert one.name == two.name == canonical_forget("a.txt", "list", (), (), "photos")
    assert one.name.startswith("2-images-")
    assert canonical_forget(one.name, "list", (), (), "photos") == one.name
    assert listed(data, "1").name != one.name
    with pytest.raises(DataError, match=r"has no lines, only their digest. Give the file"):
        split_dataset(data, "list", one.name, {})


REFUSED = {
    "unknown": (
        ["train/cat/0.png", "train/cat/9.png", "cow.png"],
        r"2 of 3 lines .* not in .*photos: train/cat/9.png, cow",
    ),
    "elsewhere": (["/etc/hosts"], "1 of 1 lines of some.txt are not in .*such as train/cat/0.png"),
    "test": (
        ["test/cat/0.png", "train/cat/0.png"],
        "1 of 2 lines of some.txt are test images of folder:photos: test/cat/0",
    ),
    "twice": (
        ["train/cat/0.png", "./train/cat/0.png"],
        "2 of 2 lines of some.txt name an image that is listed more than",
    ),
    "path and index": (["train/cat/0.png", "0"], "listed more than once: train/cat/0.png, 0"),
    "out of range": (["10", "3"], "1 of 2 lines of some.txt are out of range: 10; expected 0 to 9"),
    "negative": (["-1"], "are not in .*: -1"),
    "empty": (["# nothing", ""], "The list some.txt names no image"),
    "everything": ([str(k) for k in range(10)], "names all 10 training images"),
    "many": ([f"{k}.png" for k in range(9)], "0.png, 1.png, 2.png, 3.png, 4.png, …"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_list_of_training_images_is_one_sentence(name: str, root: Path) -> None:
    lines, sentence = REFUSED[name]
    with pytest.raises(DataError, match=sentence):
        listed(loaded(root), *lines)


def test_files_that_are_no_lists(root: Path) -> None:
    data = loaded(root)
    for name, sentence in (
        ("nothing.txt", "cannot be read: No such file"),
        ("photos", "cannot be read: Is a directory"),
    ):
        with pytest.raises(DataError, match=sentence):
            split_dataset(data, "list", name, {})
    Path("picture.txt").write_bytes((root / "train/cat/0.png").read_bytes())
    with pytest.raises(DataError, match="is not text in UTF-8"):
        split_dataset(data, "list", "picture.txt", {})
    with pytest.raises(DataError, match="has 2 columns, and none has the header"):
        listed(data, "train/cat/0.png,0", name="two.csv")


def test_a_whole_class_is_named(root: Path) -> None:
    with pytest.warns(DataNotice, match="every training image of cat"):
        listed(loaded(root), *(f"train/cat/{k}.png" for k in range(5)))


def test_a_cached_data_set_has_the_same_order(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = listed(loaded(root), "train/dog/2.png")
    assert listed(loaded(root), "train/dog/2.png").digest == first.digest
    monkeypatch.setenv("UNLEARN_BENCH_CACHE", str(root.parent / "other"))
    assert listed(loaded(root), "train/dog/2.png").digest == first.digest


def test_images_that_the_profiles_subset_leaves_out(root: Path) -> None:
    data = load(f"folder:{root}", folder=root, train_per_class=3)
    found = 0
    for index in range(10):
        try:
            found += len(listed(data, str(index)).forget)
        except DataError as problem:
            assert "are not in the subset of folder:photos that the profile uses" in str(problem)
    assert found == 6


def test_the_order_of_a_thinned_set_is_right(root: Path) -> None:
    photo(root / "train/cat/zz.png", 77)
    data = load(f"folder:{root}", folder=root, train_per_class=4)
    rows = data.source.rows if data.source is not None else torch.zeros(0)
    assert sorted(rows[rows >= 0].tolist()) == list(range(8))
