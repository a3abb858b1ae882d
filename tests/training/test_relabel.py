"""Wrong labels: which classes are excluded, and how the others are drawn."""

import pytest
import torch
from torch import Tensor

from unlearn_bench.training.relabel import forbidden_classes, permitted_labels, random_label_loss


def test_the_own_label_is_forbidden_where_the_forget_set_is_no_class() -> None:
    labels = torch.tensor([0, 2])
    assert forbidden_classes(labels, 3, ()).tolist() == [[True, False, False], [False, False, True]]
    assert forbidden_classes(labels, 3, (1,)).tolist() == [[False, True, False]] * 2


@pytest.mark.parametrize("forgotten", [(4,), (0, 3), ()])
def test_permitted_labels_are_uniform_and_never_forbidden(forgotten: tuple[int, ...]) -> None:
    labels = torch.arange(5).repeat(2000)
    forbidden = forbidden_classes(labels, 5, forgotten)
    drawn = permitted_labels(forbidden, torch.Generator().manual_seed(0))
    assert not forbidden.gather(1, drawn[:, None]).any()
    for own in range(5):
        counts = torch.bincount(drawn[labels == own], minlength=5)
        permitted = ~forbidden[own]
        share = 2000 / int(permitted.sum())
        assert ((counts[permitted] - share).abs() < 5 * share**0.5).all()
    assert torch.equal(drawn, permitted_labels(forbidden, torch.Generator().manual_seed(0)))


def test_random_labels_are_of_all_classes_and_drawn_anew() -> None:
    """The loss of one sample with logits 0, 1, 2 tells its label."""

    def network(x: Tensor) -> Tensor:
        return torch.tensor([[0.0, 1.0, 2.0]])

    loss = random_label_loss(3, torch.Generator().manual_seed(0))
    x, y = torch.zeros(1), torch.tensor([1])
    values = torch.stack([loss(network, x, y) for _ in range(3000)])
    labels = (torch.tensor([0.0, 1.0, 2.0]).logsumexp(0) - values).round().long()
    counts = torch.bincount(labels, minlength=3)
    assert ((counts - 1000).abs() < 150).all(), "the true label too, and any label at any step"
