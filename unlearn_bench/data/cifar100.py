"""CIFAR-100 and CIFAR-20, the same images labelled with twenty superclasses: Parquet copies or torchvision's layout."""

from __future__ import annotations

import numpy as np

from unlearn_bench.data import Location, Splits, dataset
from unlearn_bench.data.cifar import Source
from unlearn_bench.data.loading import check_range

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


FINE = ("fine_label", "fine_labels", "label", "labels")
SOURCE = Source("CIFAR-100", "cifar100", FINE, "CIFAR100", "cifar-100-python", ("train", "test", "meta"))


@dataset(label="CIFAR-100", source="Krizhevsky 2009", files=SOURCE.files)
def cifar100(location: Location) -> Splits:
    """CIFAR-100: 50,000 training and 10,000 test images of 32×32 pixels in 100 classes.

    The reader searches the data folder in this order: ``cifar100/**/train-*.parquet`` and ``test-*.parquet`` (columns
    ``img`` or ``image``, and ``fine_label``, ``label`` or their plurals), then ``cifar-100-python/`` (torchvision's
    layout, with verified checksums).
    """
    train, test = SOURCE.read(location)
    return Splits(*train, *test, CLASSES)


@dataset(label="CIFAR-20", source="Krizhevsky 2009", files=SOURCE.files)
def cifar20(location: Location) -> Splits:
    """CIFAR-100 with its 20 superclasses as labels and its 100 classes as finer labels; reads the files of cifar100."""
    (pixels, fine), (test_pixels, test_fine) = SOURCE.read(location)
    for labels in (fine, test_fine):
        check_range(labels, len(CLASSES))
    coarse = np.array(COARSE, dtype=np.int64)
    return Splits(pixels, coarse[fine], test_pixels, coarse[test_fine], tuple(SUPERCLASSES), fine, test_fine, CLASSES)
