"""scikit-learn's handwritten digits: 1,797 grey images of 8×8 pixels, part of the package, no download."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sklearn.datasets import load_digits

from unlearn_bench.data import Location, Splits, dataset
from unlearn_bench.data.loading import split_by_hash

DIGITS = tuple(str(digit) for digit in range(10))
PAIRS = tuple(f"{digit} or {digit + 1}" for digit in range(0, 10, 2))


@dataset(label="Digits", source="Alpaydin and Kaynak 1998, UCI; as shipped with scikit-learn")
def digits(_location: Location) -> Splits:
    """The handwritten digits with a stratified fixed split, a fifth of each class for the test.

    Grey values 0 to 16 become 0 to 255. scikit-learn ships no split; ours takes the images with the smallest hashes,
    which needs no random generator and so never changes.
    """
    bunch = load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]  # (N, 1, 8, 8)
    return split_by_hash(pixels, bunch.target.astype(np.int64), DIGITS)


@dataset(label="Digit pairs", source="a grouping of the digits, for subclass unlearning at the scale of a laptop")
def digit_pairs(location: Location) -> Splits:
    """The handwritten digits under five labels, 0 or 1, 2 or 3, …, 8 or 9; the digits are the finer labels."""
    found = digits(location)
    return replace(
        found,
        train_labels=found.train_labels // 2,
        test_labels=found.test_labels // 2,
        classes=PAIRS,
        train_fine=found.train_labels,
        test_fine=found.test_labels,
        fine_classes=DIGITS,
    )
