"""Averaged gradients and dampening on numbers written by hand."""

import pytest
import torch
from torch import Tensor, nn

from unlearn_bench.core.errors import DivergedError, OptionError
from unlearn_bench.data import Images
from unlearn_bench.data.batches import Normalise
from unlearn_bench.models import Classifier
from unlearn_bench.training.importance import by_class, dampen, mean_gradients
from unlearn_bench.training.monitor import RunMonitor


class Line(Classifier):
    """Logits w·x of one number, with a weight that nothing uses."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 2, bias=False)
        self.unused = nn.Parameter(torch.ones(3))
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[2.0], [4.0]]))

    @property
    def last_stage(self) -> nn.Module:
        return self.head

    def features(self, x: Tensor) -> Tensor:
        return x.flatten(1)


def mean_of_logits(network: Classifier, x: Tensor, _y: Tensor) -> Tensor:
    return network(x).sum(dim=1).mean()


def test_gradients_are_transformed_batch_by_batch() -> None:
    """Batch means of the gradient of either logit are −2 and 4: mean 1, of squares 10, whatever the sizes."""
    y = torch.zeros(1)
    batches = [(torch.tensor([[-1.0], [-3.0]]), y), (torch.tensor([[4.0]]), y)]
    monitor = RunMonitor()
    plain = mean_gradients(Line(), batches, mean_of_logits, monitor, curve="g")
    squared = mean_gradients(Line(), batches, mean_of_logits, monitor, curve="g", transform=torch.square)
    assert plain["head.weight"].tolist() == [[1.0], [1.0]]
    assert squared["head.weight"].tolist() == [[10.0], [10.0]]
    assert squared["unused"].tolist() == [0.0, 0.0, 0.0]
    assert (monitor.steps, monitor.curves) == (4, [(2, "g", 2.0), (4, "g", 20.0)])


def test_gradients_that_are_not_finite_are_reported() -> None:
    with pytest.raises(DivergedError, match="g is inf"):
        mean_gradients(Line(), [(torch.tensor([[torch.inf]]), torch.zeros(1))], mean_of_logits, RunMonitor(), curve="g")


def test_batches_are_in_order_of_labels_and_counted() -> None:
    pixels = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1)
    images, monitor = Images(pixels, torch.tensor([2, 0, 1, 0, 2])), RunMonitor()
    batches = list(by_class(images, 2, Normalise((0.0,), (1 / 255,)), monitor))
    assert [y.tolist() for _, y in batches] == [[0, 0], [1, 2], [2]]
    assert torch.cat([x for x, _ in batches]).flatten().round().tolist() == [1, 3, 2, 0, 4]
    assert monitor.samples_seen == 5


def dampened(forgotten: list[float], retained: list[float], **options: float) -> list[float]:
    network = Line()
    parts = [
        {"head.weight": torch.tensor(values)[:, None], "unused": torch.zeros(3)} for values in (forgotten, retained)
    ]
    dampen(network, *parts, **options)
    assert network.unused.tolist() == [1.0, 1.0, 1.0], "0 is not above 0"
    return network.head.weight.flatten().tolist()


def test_weights_are_dampened_where_the_forget_set_needs_them_more() -> None:
    assert dampened([8.0, 3.0], [1.0, 1.0], alpha=4.0, dampening=2.0) == [2.0 * 2 / 8, 4.0]
    assert dampened([8.0, 3.0], [1.0, 1.0], alpha=2.0, dampening=5.0) == [2.0 * 5 / 8, 4.0], "never larger than before"
    assert dampened([8.0, 4.0], [0.0, 1.0], alpha=4.0, dampening=1.0) == [0.0, 4.0], "the bound itself is not above"
    mixed = dampened([8.0, 3.0], [0.0, 1.0], alpha=3.0, dampening=1.0, share_of_forgotten=0.25)
    assert mixed == [2.0 * 2 / 8, 4.0]


def test_a_factor_that_no_weight_can_have_is_refused() -> None:
    with pytest.raises(OptionError, match=r"'alpha' is 5, but D_f is 25 % of D, .* Set alpha below 4"):
        dampened([1.0, 1.0], [0.0, 0.0], alpha=5.0, dampening=1.0, share_of_forgotten=0.25)
