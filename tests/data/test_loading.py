"""Data sets: the same images whatever the source and its order, refused where they are wrong."""

import io
import json
import pickle
from hashlib import md5
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torchvision.datasets import CIFAR10

from unlearn_bench.core.errors import DataError
from unlearn_bench.data import Dataset, Splits
from unlearn_bench.data.cifar10 import CLASSES
from unlearn_bench.data.loading import canonical, load
from unlearn_bench.data.scenarios import scenarios


def test_digits_are_sklearns_split_by_class() -> None:
    data = load("digits", folder=Path("nowhere"))
    assert (len(data.train) + len(data.test), data.train.pixels.dtype) == (1797, torch.uint8)
    pixels = torch.cat([data.train.pixels, data.test.pixels])[:, 0].double() / 255 * 16
    assert sorted(map(tuple, pixels.round().flatten(1).tolist())) == sorted(map(tuple, load_digits().data.tolist()))
    for label in range(10):
        members = int((data.train.labels == label).sum()), int((data.test.labels == label).sum())
        assert members[1] == round(sum(members) / 5)
    assert not set(data.train.digests) & set(data.test.digests)
    assert data.digest == load("digits", folder=Path("nowhere")).digest


def test_subset_keeps_the_first_of_each_class(digits: Dataset) -> None:
    whole = load("digits", folder=Path("nowhere"))
    assert torch.bincount(digits.train.labels).tolist() == [24] * 10
    assert set(digits.train.digests) <= set(whole.train.digests)
    assert digits.digest != whole.digest


def test_file_order_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (30, 3, 4, 4), dtype=np.uint8), np.arange(30) % 3
    order = rng.permutation(20)
    one = canonical(Splits(pixels[:20], labels[:20], pixels[20:], labels[20:], ("a", "b", "c")))
    two = canonical(Splits(pixels[:20][order], labels[:20][order], pixels[20:], labels[20:], ("a", "b", "c")))
    assert np.array_equal(one.train_pixels, two.train_pixels)
    assert np.array_equal(one.train_labels, two.train_labels)


def test_an_image_in_both_splits_is_refused() -> None:
    pixels, labels = np.zeros((2, 1, 2, 2), np.uint8), np.array([0, 1])
    with pytest.raises(DataError, match="2 images occur with the same label in both"):
        canonical(Splits(pixels, labels, pixels, labels, ("a", "b")))


def write_images(root: Path, pixels: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> None:
    for row, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        folder = root / classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{row:05}.png")


def test_cifar10_is_the_same_from_parquet_torchvision_and_folders(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The three sources of CIFAR-10, here its first 600 training and 300 test images, in three file orders."""
    frames = {
        "train": pd.read_parquet(sorted((real_data / "cifar10").glob("train-*"))[0]).head(600),
        "test": pd.read_parquet(sorted((real_data / "cifar10").glob("test-*"))[0]).head(300),
    }
    parquet, layout, folders = tmp_path / "parquet", tmp_path / "layout", tmp_path / "folders"
    (parquet / "cifar10" / "plain_text").mkdir(parents=True)
    rng = np.random.default_rng(0)
    arrays = {}
    for name, frame in frames.items():
        frame[["img", "label"]].to_parquet(parquet / "cifar10" / "plain_text" / f"{name}-00000-of-00001.parquet")
        pixels = np.stack([np.asarray(Image.open(io.BytesIO(cell["bytes"])).convert("RGB")) for cell in frame.img])
        order = rng.permutation(len(pixels))
        arrays[name] = pixels[order], frame.label.to_numpy()[order]
        write_images(folders / name, *arrays[name], CLASSES)
    write_torchvision(layout, arrays, monkeypatch)
    found = [
        load("cifar10", folder=parquet),
        load("cifar10", folder=layout),
        load(f"folder:{folders}", folder=tmp_path),
    ]
    for other in found[1:]:
        assert torch.equal(found[0].train.pixels, other.train.pixels)
        assert torch.equal(found[0].train.labels, other.train.labels)
        assert torch.equal(found[0].test.pixels, other.test.pixels)
        assert (found[0].digest, found[0].classes) == (other.digest, other.classes)


def write_torchvision(root: Path, arrays: dict[str, tuple[np.ndarray, np.ndarray]], patch: pytest.MonkeyPatch) -> None:
    """Writes torchvision's own layout; its checksums, those of the real files, are replaced for this test alone."""
    base = root / CIFAR10.base_folder
    base.mkdir(parents=True)

    def write(name: str, content: object) -> list[str]:
        (base / name).write_bytes(pickle.dumps(content))
        return [name, md5((base / name).read_bytes()).hexdigest()]

    def batch(pixels: np.ndarray, labels: np.ndarray) -> dict[str, object]:
        return {"data": pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1), "labels": labels.tolist()}

    pixels, labels = arrays["train"]
    parts = zip(np.array_split(pixels, 5), np.array_split(labels, 5), strict=True)
    patch.setattr(CIFAR10, "train_list", [write(f"data_batch_{i + 1}", batch(*part)) for i, part in enumerate(parts)])
    patch.setattr(CIFAR10, "test_list", [write("test_batch", batch(*arrays["test"]))])
    meta = write("batches.meta", {"label_names": list(CLASSES)})
    patch.setattr(CIFAR10, "meta", {"filename": meta[0], "key": "label_names", "md5": meta[1]})


@pytest.mark.slow
def test_whole_cifar10_from_parquet(real_data: Path) -> None:
    data = load("cifar10", folder=real_data)
    assert torch.bincount(data.train.labels).tolist() == [5000] * 10
    assert torch.bincount(data.test.labels).tolist() == [1000] * 10
    assert data.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=5e-5)
    again = load("cifar10", folder=real_data)  # from the cache
    assert again.digest == data.digest
    assert torch.equal(again.train.pixels, data.train.pixels)


def test_a_changed_file_is_decoded_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (20, 6, 6), dtype=np.uint8), np.arange(20) % 2
    write_images(tmp_path / "own", pixels, labels, ("cat", "dog"))
    first = load(f"folder:{tmp_path / 'own'}", folder=tmp_path)
    assert first.train.pixels.shape == (16, 1, 6, 6)
    assert load(f"folder:{tmp_path / 'own'}", folder=tmp_path).digest == first.digest
    Image.fromarray(255 - pixels[0]).save(tmp_path / "own" / "cat" / "00000.png")
    assert load(f"folder:{tmp_path / 'own'}", folder=tmp_path).digest != first.digest


def test_wrong_folders_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no folder '.*none'"):
        load(f"folder:{tmp_path / 'none'}", folder=tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="contains 0 class folders, expected at least 2"):
        load(f"folder:{tmp_path / 'empty'}", folder=tmp_path)
    write_images(tmp_path / "odd", np.zeros((4, 6, 6), np.uint8), np.array([0, 0, 1, 1]), ("cat", "dog"))
    (tmp_path / "odd" / "dog" / "x.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"x\.png cannot be read as an image: its format is unknown\."):
        load(f"folder:{tmp_path / 'odd'}", folder=tmp_path)
    Image.fromarray(np.zeros((5, 6), np.uint8)).save(tmp_path / "odd" / "dog" / "x.png")
    with pytest.raises(DataError, match=r"x\.png has 6×5 pixels, expected 6×6"):
        load(f"folder:{tmp_path / 'odd'}", folder=tmp_path)


@pytest.mark.filterwarnings("error")
def test_any_mode_of_image_becomes_grey_or_rgb(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (40, 6, 6, 3), dtype=np.uint8)
    modes = ("RGB", "RGBA", "P", "PA", "CMYK")
    for row, image in enumerate(colours):
        folder = tmp_path / "own" / ("cat", "dog")[row % 2]
        folder.mkdir(parents=True, exist_ok=True)
        mode = modes[row % len(modes)]
        changed = Image.fromarray(image).convert("RGBA").quantize() if mode == "PA" else Image.fromarray(image)
        if mode != "PA":
            changed = changed.convert(mode)
        changed.save(folder / f"{row:02}.{'tiff' if mode == 'CMYK' else 'png'}")
    data = load(f"folder:{tmp_path / 'own'}", folder=tmp_path)
    assert data.train.pixels.shape[1:] == (3, 6, 6)
    found = {tuple(image.flatten().tolist()) for part in (data.train, data.test) for image in part.pixels}
    assert {tuple(image.transpose(2, 0, 1).flatten().tolist()) for image in colours[::5]} <= found, "RGB as it is"


def test_sixteen_bits_keep_their_range_and_unknown_ranges_are_refused(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 36).astype(np.uint16).reshape(6, 6)
    for row in range(20):
        folder = tmp_path / "deep" / ("cat", "dog")[row % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(ramp, row)).save(folder / f"{row:02}.png")
    pixels = load(f"folder:{tmp_path / 'deep'}", folder=tmp_path).train.pixels
    assert pixels.shape[1] == 1
    assert sorted(pixels[0].flatten().tolist()) == (ramp.flatten() >> 8).tolist()
    Image.fromarray(ramp.astype(np.float32)).save(tmp_path / "deep" / "cat" / "x.tiff")
    with pytest.raises(DataError, match=r"x\.tiff cannot be read as an image: its pixels are 32-bit numbers"):
        load(f"folder:{tmp_path / 'deep'}", folder=tmp_path)


def test_a_number_that_is_also_another_classs_name_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 4
    write_images(tmp_path / "n", rng.integers(0, 256, (40, 6, 6), dtype=np.uint8), labels, ("1", "10", "2", "cat"))
    data = load(f"folder:{tmp_path / 'n'}", folder=tmp_path)
    assert scenarios.get("class").function(data, "10").classes == (1,)
    with pytest.raises(DataError, match="'1' is the name of class 0 of folder:n and the number of class '10'"):
        scenarios.get("class").function(data, "1")


def test_missing_cifar10_says_what_mends_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No CIFAR-10 in .*--data, or download it with --download"):
        load("cifar10", folder=tmp_path)
    (tmp_path / "cifar10").mkdir()
    for name in ("train-0.parquet", "test-0.parquet"):
        (tmp_path / "cifar10" / name).write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="cannot be read as Parquet with the columns 'img' and 'label'"):
        load("cifar10", folder=tmp_path)


def test_class_setting(digits: Dataset) -> None:
    scenario = scenarios.get("class").function
    split = scenario(digits, "3")
    assert (digits.train.labels[split.forget] == 3).all()
    assert len(split.forget) == 24
    assert (digits.test.labels[split.test_forget] == 3).all()
    two = scenario(digits, "5,3")
    assert (two.name, two.classes, len(two.forget)) == ("3,5", (3, 5), 48)
    assert two.digest == scenario(digits, "3, 5").digest != split.digest
    for forget, sentence in (
        ("12", "Class '12' is not in digits: expected 0 to 9"),
        ("-1", "Class '-1' is not in digits"),
        ("3,3", "names a class twice"),
        ("0,1,2,3,4,5,6,7,8", "leaves 1 of 10 classes"),
    ):
        with pytest.raises(DataError, match=sentence):
            scenario(digits, forget)


def test_class_names_in_parquet_are_those_of_cifar10(real_data: Path) -> None:
    import pyarrow.parquet

    schema = pyarrow.parquet.read_schema(sorted((real_data / "cifar10").glob("test-*"))[0])
    assert tuple(json.loads(schema.metadata[b"classes"])) == CLASSES
