"""The class that each forgotten image is moved to: the nearest one other than its own, with the class as its index."""

from __future__ import annotations

import torch
from torch import Tensor

from unlearn_bench.core.errors import DataError


def class_means(features: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Returns the mean feature of each class, (K, d); a row of NaN for a class without samples.

    Args:
        features: (N, d) float.
        labels: (N,) int64.
        classes: K.

    Example:
        >>> class_means(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([2, 2, 0]), 3)
        tensor([[5.],
                [nan],
                [2.]])
    """
    sums = features.new_zeros(classes, features.shape[1]).index_add_(0, labels, features)
    return sums / torch.bincount(labels, minlength=classes)[:, None]


def nearest_other_class(distances: Tensor, labels: Tensor) -> Tensor:
    """Returns for each sample the class with the smallest distance that is not its own, (N,) int64.

    Args:
        distances: (N, K) float, to each class in the order of the classes; NaN for a class that has no samples.
        labels: (N,) int64, each sample's own class.

    Raises:
        DataError: there is no distance to another class.

    Example:
        >>> distances = torch.tensor([[0.1, torch.nan, 0.3], [0.1, torch.nan, 0.3]])
        >>> nearest_other_class(distances, torch.tensor([0, 1]))
        tensor([2, 0])
    """
    own = torch.arange(distances.shape[1], device=labels.device) == labels[:, None]
    others = distances.masked_fill(own | distances.isnan(), torch.inf)
    if bool(others.isinf().all(dim=1).any()):
        raise DataError(
            f"D_f has images of class {int(labels[others.isinf().all(dim=1)][0])}, which are moved towards the nearest "
            "other class, and D'_r has no image of another class. Use a larger forget set: D'_r has as many images."
        )
    return others.argmin(dim=1)
