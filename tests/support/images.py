"""Image files and archives of real and of made-up pictures."""

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits


def tiny_zip(file: Path, extra: dict[str, bytes] | None = None) -> None:
    """A Tiny-ImageNet of two classes, two images each, and more members."""
    root = "tiny-imagenet-200"
    members = {
        f"{root}/wnids.txt": b"n1\nn2\n",
        f"{root}/words.txt": b"n1\tone\nn2\ttwo\n",
        f"{root}/val/val_annotations.txt": b"v1.JPEG\tn1\t0\nv2.JPEG\tn2\t0\n",
    }
    for number in (1, 2):
        members[f"{root}/train/n{number}/images/n{number}_0.JPEG"] = picture(number)
        members[f"{root}/val/images/v{number}.JPEG"] = picture(number + 5)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (members | (extra or {})).items():
            archive.writestr(name, content)


def picture(seed: int, kind: str = "JPEG", size: int = 8) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def write_images(folder: Path, seed: int = 0, classes: tuple[str, ...] = ("a", "b")) -> None:
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for image in range(3):
            (folder / name / f"{image}.png").write_bytes(picture(100 * seed + 10 * number + image, "PNG"))


def write_digits(root: Path, classes: list[str], each: int = 150) -> None:
    """Real digits as PNG files, 16×16 pixels of three colours, a folder a class."""
    digits = load_digits()
    for label, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for k, image in enumerate(digits.images[digits.target == label][:each]):
            grey = Image.fromarray((image * 15.9).astype(np.uint8)).resize((16, 16), Image.Resampling.BILINEAR)
            grey.convert("RGB").save(root / name / f"{k}.png")
