"""The nearest other class has the number of its label, whichever class is forgotten."""

import pytest
import torch

from unlearn_bench.core.errors import DataError
from unlearn_bench.training.nearest_class import class_means, nearest_other_class


@pytest.mark.parametrize("forgotten", [0, 1, 3])
@pytest.mark.parametrize("target", [0, 1, 2, 3])
def test_the_index_is_the_label(forgotten: int, target: int) -> None:
    """Counted without the forgotten class, the class after it would have its number, and be passed over."""
    if target == forgotten:
        return
    labels = torch.tensor([c for c in range(4) if c != forgotten] * 2)
    means = class_means(torch.eye(4)[labels], labels, 4)
    assert means[forgotten].isnan().all()
    x = torch.eye(4)[target] + 0.01 * torch.eye(4)[(target + 1) % 4]
    distances = (x - means).square().sum(dim=1)[None]
    assert nearest_other_class(distances, torch.tensor([forgotten])).tolist() == [target]


def test_a_samples_own_class_is_left_out() -> None:
    distances = torch.tensor([[0.0, 0.5, 0.2], [0.3, 0.0, 0.2]])
    assert nearest_other_class(distances, torch.tensor([0, 1])).tolist() == [2, 2]


def test_no_other_class_is_an_error() -> None:
    distances = torch.tensor([[torch.nan, 0.5], [0.5, torch.nan]])
    with pytest.raises(DataError, match=r"D_f has images of class 1, .* no image of another class"):
        nearest_other_class(distances, torch.tensor([1, 1]))
