"""scikit-learn's handwritten digits: 1,797 grey images of 8×8 pixels. They come with scikit-learn, without download."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sklearn.datasets import load_digits

from unlearn_bench.data import Location, Splits, dataset
from unlearn_bench.data.loading import split_by_hash

DIGITS = tuple(str(digit) for digit in range(10))
PAIRS = tuple(f"{digit} or {digit + 1}" for digit in range(0, 10, 2))


@dataset(label="Digits", source="Alpaydin and Kaynak 1998, UCI; comes with scikit-learn")
def digits(_location: Location) -> Splits:
    """The handwritten digits with a fixed stratified split; a fifth of each class is the test split.

    Grey values 0 to 16 become 0 to 255. scikit-learn has no split. The test split here consists of the images with the
    smallest hashes; this needs no random generator, so the split never changes.
    """
    bunch = load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]  # (N, 1, 8, 8)
    return split_by_hash(pixels, bunch.target.astype(np.int64), DIGITS)


@dataset(label="Digit pairs", source="the digits in pairs, for subclass unlearning on a laptop")
def digit_pairs(location: Location) -> Splits:
    """The handwritten digits with five labels, 0 or 1, 2 or 3, …, 8 or 9; the digits are the finer labels."""
    single = digits(location)
    return replace(
        single,
        train_labels=single.train_labels // 2,
        test_labels=single.test_labels // 2,
        classes=PAIRS,
        train_fine=single.train_labels,
        test_fine=single.test_labels,
        fine_classes=DIGITS,
    )
