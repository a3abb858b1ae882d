"""Data sets that a function of your own returns (``FILE.py:FUNCTION``, ``MODULE:FUNCTION``)."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from unlearn_bench.core.errors import DataError, did_you_mean, reason_of
from unlearn_bench.core.functions import load_function
from unlearn_bench.core.sources import Reading, split_source
from unlearn_bench.data import Location, Splits, dataset, datasets
from unlearn_bench.data.decode import BROKEN, Decoded, assemble, to_pixels, why_unreadable

READ_TWICE = 4  # images of each split, to notice random augmentation
OUTSIDE = 1e-3  # of the range from 0 to 1: rounding, not normalisation
SPLITS = ("training", "test")


@dataset(label="Function of your own", source="your own code", reads_by=("size",))
def function(location: Location) -> Splits:
    """The training and the test data set that a Python function returns: ``FILE.py:FUNCTION`` or ``MODULE:FUNCTION``.

    The function takes no arguments. It returns two data sets of PyTorch's kind, with a length and items (image, label):
    a PIL image, or a tensor of uint8 or of floats from 0 to 1; a label from 0. Images have one size, or ``--size N``
    makes it. Normalisation and random augmentation are left out, because both are done here. The names of the classes
    are ``.classes`` of the data sets, where they have it. The function runs once in every command.
    """
    source, name = split_source(location.path)
    data = _made(source, name, location.path)
    items = [(k, position) for k in range(2) for position in range(_length(data[k], location.path, SPLITS[k]))]
    labels: list[int] = []

    def images(positions: range) -> Iterable[Decoded | str]:
        for position in positions:
            image, label = _item(data, *items[position], location)
            labels.append(label)
            yield image

    pixels = assemble(
        len(items),
        images,
        lambda row: _where(*items[row], location.path),
        lambda done: location.progress(f"read {name}", done, len(items)),
        can_resize=True,
    )
    count = len(data[0])
    _check_repeatable(data, pixels, location)
    every = np.asarray(labels, dtype=np.int64)
    classes = _classes(data, int(every.max()) + 1, location.path)
    return Splits(pixels[:count], every[:count], pixels[count:], every[count:], classes)


def _made(source: str, name: str, path: str) -> Any:
    """Returns what the function returns, two data sets.

    Raises:
        DataError: there is no such function, it fails, or it returns something else.
    """
    try:
        make = load_function(source, name, DataError)
    except DataError as problem:
        near = did_you_mean(path, [f"{kind}:{name}" for kind in datasets.names()])
        raise DataError(f"{problem}{near}") from problem
    try:
        data = make()
    except (Exception, SystemExit) as problem:  # code of others can raise anything
        raise DataError(f"{path} fails: {reason_of(problem, with_type=True)}. Correct the function.") from problem
    if not isinstance(data, (tuple, list)) or len(data) != len(SPLITS):
        raise DataError(
            f"{path} returns {_kind(data)}, expected two data sets: for training and for test. Return both."
        )
    return data


def _where(split: int, position: int, path: str) -> str:
    return f"Image {position} of the {SPLITS[split]} data set of {path}"


def _kind(value: Any) -> str:
    return f"{len(value)} values" if isinstance(value, (tuple, list)) else type(value).__name__


def _length(data: Any, path: str, split: str) -> int:
    try:
        return len(data)
    except (TypeError, NotImplementedError):
        raise DataError(
            f"The {split} data set of {path} is a {type(data).__name__} without a length. Return a data set with "
            "__len__ and __getitem__, such as a list of its items."
        ) from None


def _item(data: Any, split: int, position: int, location: Location) -> tuple[Decoded | str, int]:
    """Returns an image with its label; instead of an image that cannot be read, the reason.

    Raises:
        DataError: the item is not an image and a label, or the code of the data set fails.
    """
    where = _where(split, position, location.path)
    try:
        item = data[split][position]
    except (OSError, SyntaxError) as problem:  # what Pillow raises on a broken file
        return why_unreadable(problem), 0
    except (Exception, SystemExit) as problem:  # code of others can raise anything
        raise DataError(f"{where} fails: {reason_of(problem, with_type=True)}. Correct the data set.") from problem
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise DataError(f"{where} is {_kind(item)}, expected an image and its label. Return these two.")
    try:
        label = operator.index(item[1])
    except TypeError:
        label = -1
    if label < 0:
        raise DataError(f"{where} has the label {item[1]!r:.40}, expected a whole number from 0. Correct its label.")
    try:
        return to_pixels(_picture(item[0], where), Reading(location.reading.size)), label
    except BROKEN as problem:
        return why_unreadable(problem), label


def _picture(image: Any, where: str) -> Image.Image:
    """Returns a PIL image.

    Raises:
        DataError: it is neither a PIL image nor a tensor or array of pixels.
    """
    if isinstance(image, Image.Image):
        return image
    if not isinstance(image, (Tensor, np.ndarray)):
        raise DataError(f"{where} is a {type(image).__name__}, expected a PIL image or a tensor. Return one.")
    values = image.detach().cpu().numpy() if isinstance(image, Tensor) else image
    shape = "×".join(map(str, values.shape))
    if values.ndim == 3 and values.shape[0] in (1, 3) and (isinstance(image, Tensor) or values.shape[2] not in (1, 3)):
        values = values.transpose(1, 2, 0)
    if values.size == 0 or not (values.ndim == 2 or (values.ndim == 3 and values.shape[2] in (1, 3))):
        raise DataError(f"{where} has the shape {shape}, expected 1 or 3 channels, height and width. Reshape it.")
    pixels = _bytes(values, where)
    return Image.fromarray(pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)


def _bytes(values: Any, where: str) -> Any:
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    low, high = float(values.min()), float(values.max())
    if np.issubdtype(values.dtype, np.floating) and low >= -OUTSIDE and high <= 1 + OUTSIDE:
        return np.rint(values.astype(np.float64).clip(0, 1) * 255).astype(np.uint8)
    if np.issubdtype(values.dtype, np.integer) and low >= 0 and high <= 255:
        return values.astype(np.uint8)
    raise DataError(
        f"{where} has values from {low:.4g} to {high:.4g} ({values.dtype}), expected floats from 0 to 1 or uint8. "
        "Leave normalisation out of its transforms: it is done here."
    )


def _check_repeatable(data: Any, pixels: Any, location: Location) -> None:
    """Raises DataError if some images differ when they are read again, as random augmentation makes them."""
    count = len(data[0])
    for split, start in enumerate((0, count)):
        length = len(data[split])
        for position in sorted(
            {k * (length - 1) // max(1, READ_TWICE - 1) for k in range(READ_TWICE)} if length else ()
        ):
            again, _ = _item(data, split, position, location)
            before = pixels[start + position]
            if isinstance(again, str) or not np.array_equal(again[0].transpose(2, 0, 1)[: len(before)], before):
                raise DataError(
                    f"{_where(split, position, location.path)} is another image when it is read again. Leave random "
                    "augmentation out of its transforms."
                )


def _classes(data: Any, count: int, path: str) -> tuple[str, ...]:
    """Returns the names of the classes: those of the data sets, or numbers.

    Raises:
        DataError: the two data sets have different names, or there are labels without a name.
    """
    named = [names for names in map(_names, data) if names]
    if not named:
        return tuple(map(str, range(count)))
    if named[0] != named[-1]:
        raise DataError(f"The two data sets of {path} have different .classes. Give both the same classes.")
    if count > len(named[0]):
        raise DataError(f"{path} has the label {count - 1}, but only {len(named[0])} names in .classes. Name them all.")
    return named[0]


def _names(data: Any) -> tuple[str, ...]:
    names = getattr(data, "classes", None)
    if isinstance(names, (list, tuple)) and names:
        return tuple(map(str, names))
    inner = [getattr(data, "dataset", None), *(getattr(data, "datasets", None) or ())[:1]]  # of a Subset, of a sum
    return next((names for names in (_names(part) for part in inner if part is not None) if names), ())
