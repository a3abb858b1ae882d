"""CIFAR-100, and CIFAR-20: the same images under their twenty superclasses. Parquet copies or torchvision's layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torchvision.datasets import CIFAR100

from unlearn_bench.data import Labels, Location, Pixels, Splits, dataset
from unlearn_bench.data.parquet import read_parquet
from unlearn_bench.errors import DataError

SUPERCLASSES = {
    "aquatic_mammals": "beaver dolphin otter seal whale",
    "fish": "aquarium_fish flatfish ray shark trout",
    "flowers": "orchid poppy rose sunflower tulip",
    "food_containers": "bottle bowl can cup plate",
    "fruit_and_vegetables": "apple mushroom orange pear sweet_pepper",
    "household_electrical_devices": "clock keyboard lamp telephone television",
    "household_furniture": "bed chair couch table wardrobe",
    "insects": "bee beetle butterfly caterpillar cockroach",
    "large_carnivores": "bear leopard lion tiger wolf",
    "large_man-made_outdoor_things": "bridge castle house road skyscraper",
    "large_natural_outdoor_scenes": "cloud forest mountain plain sea",
    "large_omnivores_and_herbivores": "camel cattle chimpanzee elephant kangaroo",
    "medium_mammals": "fox porcupine possum raccoon skunk",
    "non-insect_invertebrates": "crab lobster snail spider worm",
    "people": "baby boy girl man woman",
    "reptiles": "crocodile dinosaur lizard snake turtle",
    "small_mammals": "hamster mouse rabbit shrew squirrel",
    "trees": "maple_tree oak_tree palm_tree pine_tree willow_tree",
    "vehicles_1": "bicycle bus motorcycle pickup_truck train",
    "vehicles_2": "lawn_mower rocket streetcar tank tractor",
}
CLASSES = tuple(sorted(name for names in SUPERCLASSES.values() for name in names.split()))
COARSE = tuple(
    next(label for label, names in enumerate(SUPERCLASSES.values()) if name in names.split()) for name in CLASSES
)


def _parquet(location: Location, split: str) -> list[Path]:
    return sorted((location.folder / "cifar100").rglob(f"{split}-*.parquet"))


def _files(location: Location) -> list[Path]:
    parquet = _parquet(location, "train") + _parquet(location, "test")
    layout = location.folder / CIFAR100.base_folder
    return parquet or [layout / name for name in ("train", "test", "meta") if (layout / name).is_file()]


@dataset(label="CIFAR-100", source="Krizhevsky 2009", files=_files)
def cifar100(location: Location) -> Splits:
    """CIFAR-100: 50,000 training and 10,000 test images of 32×32 pixels in 100 classes.

    Looked for in the data folder, in this order: ``cifar100/**/train-*.parquet`` and ``test-*.parquet`` (columns
    ``img`` and ``fine_label``), ``cifar-100-python/`` (torchvision's layout, its checksums verified).
    """
    (pixels, labels), (test_pixels, test_labels) = (_read(location, split) for split in ("train", "test"))
    return Splits(pixels, labels, test_pixels, test_labels, CLASSES)


@dataset(label="CIFAR-20", source="Krizhevsky 2009", files=_files)
def cifar20(location: Location) -> Splits:
    """CIFAR-100's images under its 20 superclasses, the 100 classes kept as finer labels; looked for as cifar100 is."""
    (pixels, fine), (test_pixels, test_fine) = (_read(location, split) for split in ("train", "test"))
    coarse = np.array(COARSE, dtype=np.int64)
    return Splits(pixels, coarse[fine], test_pixels, coarse[test_fine], tuple(SUPERCLASSES), fine, test_fine, CLASSES)


def _read(location: Location, split: str) -> tuple[Pixels, Labels]:
    files = _parquet(location, split)
    if files:
        task = f"decode CIFAR-100 {split}"
        pixels, [labels] = read_parquet(
            files, image="img", labels=["fine_label"], progress=location.progress, task=task
        )
        return pixels, labels
    try:
        found = CIFAR100(location.folder, train=split == "train", download=location.download)
    except (RuntimeError, OSError) as problem:
        if location.download:
            raise DataError(f"CIFAR-100 could not be downloaded to {location.folder}: {problem}.") from None
        raise DataError(
            f"No CIFAR-100 in {location.folder}: expected cifar100/train-*.parquet and test-*.parquet, or an intact "
            f"{CIFAR100.base_folder}/. Name its folder with --data, or fetch it with --download."
        ) from None
    pixels = np.ascontiguousarray(found.data.transpose(0, 3, 1, 2))  # torchvision keeps (N, H, W, C)
    return pixels, np.asarray(found.targets, dtype=np.int64)
