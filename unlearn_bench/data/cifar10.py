"""CIFAR-10 from public Parquet copies or from torchvision's layout, with torchvision's download and checksum."""

from __future__ import annotations

from unlearn_bench.data import Location, Splits, dataset
from unlearn_bench.data.cifar import Source

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SOURCE = Source("CIFAR-10", "cifar10", ("label", "labels"), "CIFAR10", "cifar-10-batches-py", ("*_batch*",))


@dataset(label="CIFAR-10", source="Krizhevsky 2009", files=SOURCE.files)
def cifar10(location: Location) -> Splits:
    """CIFAR-10: 50,000 training and 10,000 test images of 32×32 pixels in 10 classes.

    The reader searches the data folder in this order: ``cifar10/**/train-*.parquet`` and ``test-*.parquet`` (columns
    ``img`` or ``image``, and ``label`` or ``labels``), then ``cifar-10-batches-py/`` (torchvision's layout, with
    verified checksums).
    """
    train, test = SOURCE.read(location)
    return Splits(*train, *test, CLASSES)
