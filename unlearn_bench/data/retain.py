"""Images that D'_r is drawn from in place of D_r, for a user who no longer has all of D."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from unlearn_bench.core.errors import DataError
from unlearn_bench.core.progress import Progress, silent
from unlearn_bench.core.sources import Reading
from unlearn_bench.core.spec import digest_of
from unlearn_bench.data import Dataset, ForgetSplit, Images, datasets
from unlearn_bench.data.loading import load, reader_of

NAMED = 5  # classes in a message


def with_retain(
    dataset: Dataset,
    source: str,
    *,
    folder: Path,
    reading: Reading,
    download: bool = False,
    progress: Progress = silent,
) -> Dataset:
    """Returns the data set with the images that D'_r is drawn from in place of D_r.

    They are all images of the source, or its training images if it has a test split of its own. Their classes are those
    of the data set with the same names.

    Args:
        dataset: the images of the model.
        source: such as ``folder:PATH``; any other word than the name of a data set is a folder.
        folder: folder of all data sets.
        reading: how the images of the data set are read; of these, only the size counts.
        download, progress: see :func:`unlearn_bench.data.loading.load`.

    Raises:
        UnknownNameError, DataError: there are no such images, or their shape, channels or classes are not those of the
            data set.
    """
    name = source if ":" in source or source in datasets.names() else f"folder:{source}"
    size = reading.size if "size" in reader_of(name)[0].reads_by else None
    other = load(name, folder=folder, download=download, progress=progress, reading=Reading(size))
    if lacking := [name for name in other.classes if name not in dataset.classes]:
        raise DataError(
            f"The images of --retain have the classes {_first(lacking)}, which {dataset.name} does not have: its "
            f"classes are {_first(dataset.classes)}. Name the folders like the classes."
        )
    images = joined(other.train, other.test) if _split_here(other) else other.train
    label_of = torch.tensor([dataset.classes.index(name) for name in other.classes])
    own = Images(_channels(images.pixels, dataset.channels), label_of[images.labels])
    if own.pixels.shape[1:] != dataset.train.pixels.shape[1:]:
        given, expected = ("×".join(map(str, part.pixels.shape[1:])) for part in (own, dataset.train))
        raise DataError(
            f"The images of --retain are {given} (channels, height, width), and those of {dataset.name} are "
            f"{expected}. Give images of the same kind; --size resizes both."
        )
    return replace(dataset, retain=own, paths=(*dataset.paths, *other.paths))


def check_retain(dataset: Dataset, split: ForgetSplit) -> None:
    """Checks the images that D'_r is drawn from.

    Raises:
        DataError: some of them are images of the forget set or test images, or are of a class to forget.
    """
    if dataset.retain is None:
        return
    digests = dataset.retain.digests
    for images, what in ((dataset.train[split.forget], "the forget set"), (dataset.test, "the test split")):
        known = set(images.digests)
        if count := sum(digest in known for digest in digests):
            raise DataError(f"{count:,} of {len(digests):,} images of --retain are also in {what}. Remove them.")
    of_class = torch.isin(dataset.retain.labels.cpu(), torch.tensor(split.classes, dtype=torch.int64))
    if count := int(of_class.sum()):
        names = _first([dataset.classes[label] for label in split.classes])
        raise DataError(f"{count:,} images of --retain are of the class to forget, {names}. Remove them.")


def digest_of_retain(dataset: Dataset) -> str:
    """Returns the SHA-256 of the images that D'_r is drawn from in place of D_r; empty for D_r."""
    return "" if dataset.retain is None else digest_of(dataset.retain.digests)


def retain_in_place(split: ForgetSplit) -> ForgetSplit:
    """Returns the split with ``split.retain`` in the place of D_r: its training images are those, followed by D_f."""
    if split.retain is None:
        return split
    count = len(split.retain)
    earlier = torch.nonzero(torch.isin(split.forget, split.earlier))[:, 0] + count
    train = joined(split.retain, split.train[split.forget])
    return replace(split, train=train, forget=torch.arange(count, len(train)), earlier=earlier)


def joined(one: Images, other: Images) -> Images:
    """Returns the images of both, without finer labels."""
    return Images(torch.cat([one.pixels, other.pixels]), torch.cat([one.labels, other.labels]))


def _split_here(dataset: Dataset) -> bool:
    """Returns whether the test split was made by hashes."""
    return dataset.source is not None and bool((dataset.source.rows < 0).any())


def _channels(pixels: torch.Tensor, channels: int) -> torch.Tensor:
    return pixels.expand(-1, channels, -1, -1).contiguous() if pixels.shape[1] == 1 else pixels


def _first(names: list[str] | tuple[str, ...]) -> str:
    return f"{', '.join(names[:NAMED])}{', …' if len(names) > NAMED else ''}"
