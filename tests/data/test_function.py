"""Data sets that a user's function returns."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.photos import photos

from unlearn_bench.core.errors import DataError, DataNotice
from unlearn_bench.core.sources import AS_IT_IS, Reading
from unlearn_bench.data import Dataset
from unlearn_bench.data.loading import load

HEADER = """
import numpy as np
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset
from torchvision.transforms import v2 as transforms
from torchvision.datasets import ImageFolder

pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (24, 3, 6, 6), dtype=np.uint8))
labels = torch.arange(24) % 3
float01 = transforms.Compose([transforms.ToImage(), transforms.ToDtype(torch.float32, scale=True)])
to_pil = transforms.ToPILImage()
train, test = (pixels[:18], labels[:18]), (pixels[18:], labels[18:])

class Named(TensorDataset):
    classes = ["cat", "dog", "fox"]

def items(images, labels, change=lambda image: image):
    return [(change(image), int(label)) for image, label in zip(images, labels)]
"""


def made(folder: Path, body: str, reading: Reading = AS_IT_IS) -> Dataset:
    file = folder / "own.py"
    file.write_text(HEADER + "\ndef make():\n" + "".join(f"    {line}\n" for line in body.splitlines()))
    return load(f"{file}:make", folder=folder, reading=reading)


@pytest.mark.parametrize(
    "body",
    [
        "return TensorDataset(*train), TensorDataset(*test)",
        "return TensorDataset(train[0] / 255, train[1]), TensorDataset(test[0] / 255, test[1])",
        "return [items(*part, to_pil) for part in (train, test)]",
        "return [items(*part, lambda x: x.permute(1, 2, 0).numpy()) for part in (train, test)]",
        "return [items(*part, lambda x: x.numpy().astype(np.float64) / 255) for part in (train, test)]",
        "return [items(*part, lambda x: float01(to_pil(x))) for part in (train, test)]",
        "return [items(*part, lambda x: x.long()) for part in (train, test)]",
        "whole = TensorDataset(pixels, labels)\nreturn Subset(whole, range(18)), Subset(whole, range(18, 24))",
    ],
)
def test_every_usual_kind_of_item_is_the_same_data_set(tmp_path: Path, body: str) -> None:
    data = made(tmp_path, body)
    expected = np.random.default_rng(0).integers(0, 256, (24, 3, 6, 6), dtype=np.uint8)
    assert {image.numpy().tobytes() for image in data.train.pixels} == {image.tobytes() for image in expected[:18]}
    assert (data.name, data.classes, len(data.test)) == ("own.py:make", ("0", "1", "2"), 6)
    assert data.digest == made(tmp_path, "return TensorDataset(*train), TensorDataset(*test)").digest


def test_names_of_classes_are_those_of_the_data_set_even_within_subsets(tmp_path: Path) -> None:
    for body in (
        "return Named(*train), Named(*test)",
        "return Subset(Named(pixels, labels), range(18)), Subset(Named(pixels, labels), range(18, 24))",
        "return ConcatDataset([Named(*train)]), TensorDataset(*test)",
    ):
        assert made(tmp_path, body).classes == ("cat", "dog", "fox")


def test_torchvisions_folder_is_ours(tmp_path: Path) -> None:
    root = photos(tmp_path / "own", "train/a", "train/b", "test/a", "test/b", width=9, height=20)
    data = made(tmp_path, f"return ImageFolder('{root}/train'), ImageFolder('{root}/test')", Reading(size=8))
    own = load(f"folder:{root}", folder=tmp_path, reading=Reading(size=8))
    assert (data.digest, data.classes, data.name) == (own.digest, own.classes, "own.py:make@8")


def test_grey_images_keep_one_channel(tmp_path: Path) -> None:
    data = made(tmp_path, "return [items(x[:, 0], y) for x, y in (train, test)]")
    assert data.train.pixels.shape[1:] == (1, 6, 6)


def test_a_function_of_a_module_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_sets_of_mine.py").write_text(f"{HEADER}\ndef make():\n    return Named(*train), Named(*test)\n")
    monkeypatch.chdir(tmp_path)
    assert load("own_sets_of_mine:make", folder=tmp_path).name == "own_sets_of_mine:make"


def test_test_images_that_are_training_images_are_left_out_and_it_is_said(tmp_path: Path) -> None:
    with pytest.warns(DataNotice, match="2 test images are training images too"):
        data = made(tmp_path, "return TensorDataset(*train), TensorDataset(pixels[16:], labels[16:])")
    assert len(data.test) == 6


NORMALISED = "transforms.Normalize((0.5,) * 3, (0.5,) * 3)(x / 255)"
BOTH = "for part in (train, test)]"
WRONG = {
    "normalised": (f"return [items(*part, lambda x: {NORMALISED}) {BOTH}", "Leave normalisation out"),
    "floats to 255": (f"return [items(*part, lambda x: x.float()) {BOTH}", r"from \d+ to \d+ \(float32"),
    "not a number": (f"return [items(*part, lambda x: x * float('nan')) {BOTH}", "from nan to nan"),
    "augmented": ("return items(*train), Again(*test)", "another image when it is read again. Leave random augm"),
    "one data set": ("return TensorDataset(*train)", "returns TensorDataset, expected two data sets"),
    "three": ("return 1, 2, 3", "returns 3 values, expected two data sets"),
    "no length": ("return iter([]), iter([])", "training data set of .* is a list_iterator without a length"),
    "empty": ("return [], []", "There are no images"),
    "no label": (f"return [[x for x, _ in items(*part)] {BOTH}", "is Tensor, expected an image and"),
    "a word as label": (f"return [[(x, 'cat') for x, _ in items(*part)] {BOTH}", "has the label 'cat'"),
    "negative label": (f"return [[(x, -1) for x, _ in items(*part)] {BOTH}", "has the label -1"),
    "a path as image": ("return [[('a.png', 0)], [('b.png', 0)]]", "is a str, expected a PIL image or a tensor"),
    "five channels": ("return [[(torch.zeros(5, 8, 8), 0)]] * 2", "has the shape 5×8×8, expected 1 or 3 channels"),
    "sizes": ("return [items(*train), [(torch.zeros(3, 7, 9), 0)]]", r"has 9×7 pixels, expected 6×6.*Give --size"),
    "unnamed class": ("Named.classes = ['a']\nreturn Named(*train), Named(*test)", "the label 2, but only 1 names"),
    "broken function": ("return undefined", "fails: NameError: name 'undefined' is not defined. Correct the function"),
    "broken item": ("return Broken(*train), Named(*test)", "Image 0 of the training data set of .* fails: KeyError"),
    "exit": ("raise SystemExit(3)", "fails: SystemExit: 3"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_a_data_set_is_one_sentence(tmp_path: Path, case: str) -> None:
    body, sentence = WRONG[case]
    classes = (
        "class Again(TensorDataset):\n    def __getitem__(self, k):\n        return torch.rand(3, 6, 6), 0\n"
        "class Broken(TensorDataset):\n    def __getitem__(self, k):\n        raise KeyError('x')"
    )
    with pytest.raises(DataError, match=sentence) as told:
        made(tmp_path, f"{classes}\n{body}")
    assert "\n" not in str(told.value)


def test_a_broken_image_of_a_data_set_is_named_with_the_others(tmp_path: Path) -> None:
    root = photos(tmp_path / "own", "a", "b")
    (root / "a" / "1.png").write_bytes(b"no")
    (root / "b" / "1.png").write_bytes(b"no")
    with pytest.raises(DataError, match=r"2 files cannot be read as images: Image 1 of the training data set"):
        made(tmp_path, f"return ImageFolder('{root}'), TensorDataset(*test)", Reading(size=6))


def test_what_is_not_there_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text("def mine():\n    pass\n")
    (tmp_path / "bad.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "advice.py").write_text("raise ValueError('Set weights_only=False.')\n")
    for name, sentence in (
        ("own.py:make", "own.py has no function 'make', but mine"),
        ("none.py:make", "There is no file none.py"),
        ("bad.py:make", "bad.py cannot be loaded: ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("advice.py:make", "advice.py cannot be loaded: ValueError. Correct it"),
        ("no_such_module:make", "no_such_module cannot be imported"),
        ("foldr:photos", "Did you mean 'folder:photos'"),
    ):
        with pytest.raises(DataError, match=sentence):
            load(name, folder=tmp_path)


def test_a_photo_is_turned_here_too(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    root = photos(tmp_path / "own", "a", "b", width=8, height=6)
    for file in root.rglob("*.png"):
        Image.open(file).save(file, exif=exif)
    body = f"same = [Image.open(f'{root}/{{name}}/{{k}}.png') for name in 'ab' for k in range(3)]\n"
    body += "return list(zip(same, [0, 0, 0, 1, 1, 1])), [(torch.zeros(3, 8, 6), 0)]"
    assert made(tmp_path, body).train.pixels.shape[2:] == torch.Size([8, 6])
