"""Tiny-ImageNet, from the official zip without unpacking it, or from the unpacked folder."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np

from unlearn_bench.core.errors import DataError
from unlearn_bench.data import Location, Splits, dataset
from unlearn_bench.data.decode import decode
from unlearn_bench.data.tree import BROKEN_ZIP, is_litter, member

ROOT = "tiny-imagenet-200"  # folder in the zip, and the beginning of the zip's name
LARGEST_MEMBER = 32 * 2**20  # bytes of a file in the archive: its list of words has 3 MB


def _zips(location: Location) -> list[Path]:
    """Returns the zip, or an empty list. Raises DataError if there are two, since neither has precedence."""
    zips = sorted(file for file in location.folder.glob(f"{ROOT}*.zip") if not is_litter(file.name))
    if len(zips) > 1:
        raise DataError(f"{zips[0]} and {zips[1]} are both zips of Tiny-ImageNet. Keep one of them.")
    return zips


def _files(location: Location) -> list[Path]:
    folder = location.folder / ROOT
    if (folder / "wnids.txt").is_file():
        return sorted(path for path in folder.rglob("*") if path.is_file() and not is_litter(path.name))
    return _zips(location)


@dataset(label="Tiny-ImageNet", source="Le and Yang 2015", files=_files)
def tiny_imagenet(location: Location) -> Splits:
    """Tiny-ImageNet: 64×64 pixels, 200 classes of 500 training images; its 10,000 validation images are the test split.

    The reader searches the data folder in this order: ``tiny-imagenet-200/``, then ``tiny-imagenet-200*.zip`` (read
    without unpacking). Labels follow the order of ``wnids.txt``. The name of a class is its first word in
    ``words.txt``, with its WordNet number if two classes share the word. The validation images may be sorted into class
    folders, ``val/CLASS/``. The official test images have no labels and are not read. Grey images become RGB.
    """
    folder = location.folder / ROOT
    if (folder / "wnids.txt").is_file():
        names = [path.relative_to(location.folder).as_posix() for path in _files(location)]
        return _read(names, lambda name: (location.folder / name).read_bytes(), location)
    zips = _zips(location)
    if not zips:
        raise DataError(
            f"No Tiny-ImageNet in {location.folder}: expected {ROOT}/ or {ROOT}.zip. Give its folder with --data, or "
            "download http://cs231n.stanford.edu/tiny-imagenet-200.zip."
        )
    try:
        with zipfile.ZipFile(zips[0]) as archive:
            return _read(archive.namelist(), lambda name: member(archive, name, LARGEST_MEMBER), location)
    except BROKEN_ZIP as problem:
        raise DataError(f"{zips[0]} cannot be read as a zip: {problem}. Download it again.") from None


def _read(names: list[str], read: Callable[[str], bytes], location: Location) -> Splits:
    try:
        order = read(f"{ROOT}/wnids.txt").decode().split()
        words = dict(line.split("\t", 1) for line in read(f"{ROOT}/words.txt").decode().splitlines() if "\t" in line)
        annotated = f"{ROOT}/val/val_annotations.txt"
        # once sorted into class folders, as most guides say, the validation images need no annotations
        text = read(annotated).decode() if annotated in names or not _is_sorted(names, order) else ""
        validation = dict(line.split("\t")[:2] for line in text.splitlines() if line)
    except (KeyError, OSError, ValueError) as problem:
        raise DataError(f"Tiny-ImageNet is incomplete: {problem}. Download it again.") from None
    label_of = {wnid: label for label, wnid in enumerate(order)}
    train: list[tuple[str, int]] = []
    validated: dict[str, tuple[str, int]] = {}  # by file name: an image may be in images/ and copied to a class folder
    for name in sorted(names):
        parts = PurePosixPath(name).parts
        if len(parts) < 4 or any(map(is_litter, parts)):
            continue
        if parts[-1].upper().endswith(".JPEG") and parts[1] == "train" and parts[2] in label_of:
            train.append((name, label_of[parts[2]]))
        elif parts[1] == "val" and parts[-1].upper().endswith(".JPEG"):
            wnid = validation.get(parts[-1]) or parts[2]
            if wnid in label_of:
                validated.setdefault(parts[-1], (name, label_of[wnid]))
    test = list(validated.values())
    if lacking := [name for name, wnid in validation.items() if wnid in label_of and name not in validated]:
        raise DataError(
            f"Tiny-ImageNet is incomplete: {len(lacking)} of {len(validation)} validation images are missing, first "
            f"{lacking[0]}. Download it again."
        )
    if not train or not test:
        raise DataError(
            f"Tiny-ImageNet has {len(train)} training and {len(test)} validation images, expected some of both. "
            "Download it again."
        )
    pixels, labels = zip(*(_decoded(chosen, read, location) for chosen in (train, test)), strict=True)
    short = [words.get(wnid, wnid).split(",")[0].strip() for wnid in order]
    count = Counter(short)
    classes = tuple(f"{word} {wnid}" if count[word] > 1 else word for word, wnid in zip(short, order, strict=True))
    return Splits(pixels[0], labels[0], pixels[1], labels[1], classes)


def _is_sorted(names: list[str], order: list[str]) -> bool:
    folders = {PurePosixPath(name).parts[1:3] for name in names}
    return any(("val", wnid) in folders for wnid in order)


def _decoded(chosen: list[tuple[str, int]], read: Callable[[str], bytes], location: Location):  # type: ignore[no-untyped-def]
    files = [name for name, _ in chosen]
    task = f"decode Tiny-ImageNet {PurePosixPath(files[0]).parts[1]}"
    pixels = decode(files, read, lambda position: files[position], location.progress, task)
    return pixels, np.array([label for _, label in chosen], dtype=np.int64)
