"""Parts of a training recipe, each against an independent reference: schedules, crops, flips, smoothing."""

import numpy as np
import pytest
import torch

from unlearn_bench.core.errors import OptionError
from unlearn_bench.data import Images
from unlearn_bench.data.batches import Batches, CropFlip, Normalise, crop_flip
from unlearn_bench.training.loop import cross_entropy, learning_rates, make_optimizer, scheduled


def test_the_constant_schedule_is_the_chain_of_torch() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    reference = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.998)
    expected = []
    for _ in range(100):
        expected += 3 * [optimizer.param_groups[0]["lr"]]
        optimizer.step()
        reference.step()
    rates = learning_rates(0.1, epochs=100, steps=3, decay=0.998)
    assert rates == [*expected, optimizer.param_groups[0]["lr"]]  # to the bit


@pytest.mark.parametrize("peak", [0.0, 0.2, 0.75])
@pytest.mark.parametrize("decay", [1.0, 0.9])
def test_the_triangular_schedule_equals_an_interpolation(peak: float, decay: float) -> None:
    epochs, steps, lr = 4, 25, 0.5
    n = epochs * steps
    times = (np.arange(n + 1) + 1) / (n + 1)
    shape = np.interp(times, [peak, 1], [1, 0]) if not peak else np.interp(times, [0, peak, 1], [0, 1, 0])
    expected = lr * shape * decay ** (np.arange(n + 1) // steps)
    rates = learning_rates(lr, epochs=epochs, steps=steps, decay=decay, warmup=peak)
    assert np.allclose(rates, expected, rtol=1e-12, atol=1e-15)
    assert rates[-1] == 0
    assert min(rates[:-1]) > 0


def test_every_step_has_its_planned_rate_in_every_group() -> None:
    weights = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    for weight in weights:
        weight.grad = torch.ones(1)
    optimizer = torch.optim.SGD([{"params": weights[:1], "lr": 1.0}, {"params": weights[1:], "lr": 2.0}], lr=3.0)
    with scheduled(optimizer, [[0.5, 0.25, 0.1], [4.0, 2.0, 0.2]]):
        optimizer.step()
        optimizer.step()
    assert [weight.item() for weight in weights] == [-0.75, -6.0]
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.2]
    optimizer.step()  # the plan is over
    assert [weight.item() for weight in weights] == pytest.approx([-0.85, -6.2])


def test_reflected_crops_equal_a_loop() -> None:
    pixels = torch.randint(0, 256, (40, 3, 8, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mirrored = torch.arange(40) % 3 == 0
    ours = crop_flip(pixels, torch.Generator().manual_seed(5), CropFlip(2, "reflect", "alternate"), mirrored)
    generator = torch.Generator().manual_seed(5)
    top, left = (torch.randint(0, 5, (40, 1), generator=generator) for _ in range(2))
    for row in range(40):
        padded = np.pad(pixels[row].numpy(), ((0, 0), (2, 2), (2, 2)), mode="reflect")
        crop = padded[:, int(top[row]) : int(top[row]) + 8, int(left[row]) : int(left[row]) + 10]
        assert np.array_equal(ours[row].numpy(), crop[:, :, ::-1] if mirrored[row] else crop)
    assert {0, 4} <= set(top.flatten().tolist())  # both edges are reflected


def test_an_image_is_reflected_over_less_than_its_side() -> None:
    pixels = torch.zeros(1, 1, 8, 9, dtype=torch.uint8)
    crop_flip(pixels, torch.Generator(), CropFlip(7, "reflect"))
    with pytest.raises(OptionError, match="8×9 pixels are too small for reflected padding of 8"):
        crop_flip(pixels, torch.Generator(), CropFlip(8, "reflect"))


def test_flips_alternate_from_epoch_to_epoch() -> None:
    n = 50
    pixels = torch.zeros(n, 1, 8, 8, dtype=torch.uint8)
    pixels[:, 0, 0, 0] = torch.arange(n) + 1  # in the corner that says which image it is, and whether it is mirrored
    batches = Batches(
        Images(pixels, torch.arange(n)),
        batch_size=8,
        seed=3,
        normalise=Normalise((0.0,), (1 / 255,)),
        augment="crop_flip",
        drawn=lambda _n: None,
        crop_flip=CropFlip(0, "reflect", "alternate"),
    )
    first = torch.rand(n, generator=torch.Generator().manual_seed(3)) < 0.5
    assert 10 < int(first.sum()) < 40
    for epoch in range(4):
        seen = 0
        for x, labels in batches:
            for image, label in zip(x, labels.tolist(), strict=True):
                mirrored = bool(first[label]) != (epoch % 2 == 1)
                assert round(float(image[0, 0, 7 if mirrored else 0])) == label + 1
                seen += 1
        assert seen == n


def test_label_smoothing_equals_a_loop() -> None:
    generator = torch.Generator().manual_seed(1)
    logits, y = torch.randn(7, 5, generator=generator), torch.randint(0, 5, (7,), generator=generator)
    total = 0.0
    for row, label in zip(logits.double().numpy(), y.tolist(), strict=True):
        log_p = row - np.log(np.exp(row).sum())
        for k in range(5):
            total -= ((0.9 if k == label else 0.0) + 0.1 / 5) * log_p[k]
    ours = cross_entropy(torch.nn.Identity(), logits, y, label_smoothing=0.1)
    assert float(ours) == pytest.approx(total / 7, rel=1e-6)


def test_one_step_of_nesterov_with_decay_of_matrices_alone() -> None:
    matrix, vector = torch.tensor([[2.0, -1.0]], requires_grad=True), torch.tensor([4.0], requires_grad=True)
    optimizer = make_optimizer(
        "sgd", [vector, matrix], lr=0.1, weight_decay=0.5, momentum=0.9, nesterov=True, decay_matrices_only=True
    )
    matrix.grad, vector.grad = torch.tensor([[1.0, 3.0]]), torch.tensor([2.0])
    optimizer.step()
    # g = gradient + decay · weight; the first velocity is g; the step is lr · (g + 0.9 · g)
    assert torch.allclose(matrix, torch.tensor([[2.0 - 0.19 * (1 + 1.0), -1.0 - 0.19 * (3 - 0.5)]]))
    assert torch.allclose(vector, torch.tensor([4.0 - 0.19 * 2]))
