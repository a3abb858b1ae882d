"""scikit-learn's handwritten digits: 1,797 grey images of 8×8 pixels, part of the package, no download."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from unlearn_bench.data import Location, Splits, dataset, split_by_hash


@dataset(label="Digits", source="Alpaydin and Kaynak 1998, UCI; as shipped with scikit-learn")
def digits(_location: Location) -> Splits:
    """The handwritten digits with a stratified fixed split, a fifth of each class for the test.

    Grey values 0 to 16 become 0 to 255. scikit-learn ships no split; ours takes the images with the smallest hashes,
    which needs no random generator and so never changes.
    """
    bunch = load_digits()
    pixels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]  # (N, 1, 8, 8)
    return split_by_hash(pixels, bunch.target.astype(np.int64), tuple(str(digit) for digit in range(10)))
