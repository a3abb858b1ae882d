"""Folders of photos as people have them."""

import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from unlearn_bench.core.sources import AS_IT_IS, Reading
from unlearn_bench.data import Dataset
from unlearn_bench.data.loading import load


def photo(file: Path, seed: int, width: int = 12, height: int = 10) -> None:
    """Writes an image of random pixels; folders are made."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


def photos(root: Path, *folders: str, count: int = 3, width: int = 12, height: int = 10) -> Path:
    """Writes ``count`` images into each folder below ``root``, no two alike, and returns ``root``."""
    for number, folder in enumerate(folders or ("cat", "dog")):
        for k in range(count):
            photo(root / folder / f"{k}.png", 1000 * number + k, width, height)
    return root


def loaded(root: Path, reading: Reading = AS_IT_IS, kind: str = "folder") -> Dataset:
    return load(f"{kind}:{root}", folder=root.parent, reading=reading)


def packed(root: Path, file: Path, prefix: str = "") -> Path:
    """Writes the files below ``root`` to a zip, and returns the zip."""
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(root.rglob("*")):
            archive.write(path, f"{prefix}{path.relative_to(root).as_posix()}")
    return file
