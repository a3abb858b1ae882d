"""Mini-batches against naive loops; the network's structure, seeds and digests."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unlearn_bench.core.errors import DivergedError, OptionError, UnknownNameError
from unlearn_bench.data import Dataset
from unlearn_bench.data.batches import PADDING, Batches, Normalise, crop_flip
from unlearn_bench.models import build, weights_digest
from unlearn_bench.models.outputs import predict
from unlearn_bench.models.resnet import Conv3x3

RESNET = {"name": "resnet18", "width": 4, "groups": 2}


def test_crop_flip_equals_a_loop() -> None:
    pixels = torch.randint(0, 256, (40, 3, 8, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    ours = crop_flip(pixels, torch.Generator().manual_seed(5))
    generator = torch.Generator().manual_seed(5)
    top = torch.randint(0, 2 * PADDING + 1, (40, 1), generator=generator)
    left = torch.randint(0, 2 * PADDING + 1, (40, 1), generator=generator)
    mirrored = torch.rand((40, 1), generator=generator) < 0.5
    for row in range(40):
        padded = np.pad(pixels[row].numpy(), ((0, 0), (PADDING, PADDING), (PADDING, PADDING)))
        crop = padded[:, int(top[row]) : int(top[row]) + 8, int(left[row]) : int(left[row]) + 10]
        crop = crop[:, :, ::-1] if mirrored[row] else crop
        assert np.array_equal(ours[row].numpy(), crop)
    assert 5 < int(mirrored.sum()) < 35


def test_an_epoch_draws_every_image_once_in_a_seeded_order(digits: Dataset) -> None:
    counted: list[int] = []

    def make(seed: int) -> Batches:
        normalise = Normalise(digits.mean, digits.std)
        return Batches(
            digits.train, batch_size=50, seed=seed, normalise=normalise, augment="none", drawn=counted.append
        )

    batches = make(1)
    first, second = (torch.cat([x for x, _ in batches]) for _ in range(2))
    assert counted == [50, 50, 50, 50, 40] * 2
    assert len(batches) == 5
    assert not torch.equal(first, second)
    assert torch.equal(first, torch.cat([x for x, _ in make(1)]))
    assert not torch.equal(first, torch.cat([x for x, _ in make(2)]))
    expected = (digits.train.pixels.double() / 255 - digits.mean[0]) / digits.std[0]
    assert torch.allclose(first.double().flatten(1).sum(1).sort()[0], expected.flatten(1).sum(1).sort()[0], atol=1e-4)


def test_normalised_training_pixels_have_mean_zero_and_deviation_one(digits: Dataset) -> None:
    x = Normalise(digits.mean, digits.std)(digits.train.pixels)
    assert float(x.mean()) == pytest.approx(0, abs=1e-5)
    assert float(x.std()) == pytest.approx(1, abs=1e-5)


def test_outputs_that_are_not_finite_are_divergence(digits: Dataset) -> None:
    network = build(RESNET, channels=1, classes=10, seed=0)
    with torch.no_grad():
        network.head.weight.fill_(3e38)  # finite, but their weighted sum is not
    assert all(parameter.isfinite().all() for parameter in network.parameters())
    with pytest.raises(DivergedError, match="a logit is not finite"):
        predict(network, digits.test, Normalise(digits.mean, digits.std))


@pytest.mark.parametrize("size", [8, 32])
def test_features_are_the_input_of_the_head(size: int) -> None:
    network = build(RESNET, channels=3, classes=5, seed=0)
    x = torch.randn(2, 3, size, size)
    assert network.features(x).shape == (2, 32)
    assert torch.equal(network(x), network.head(network.features(x)))


def test_convolution_of_one_pixel_equals_the_padded_one() -> None:
    conv, x = Conv3x3(6, 4), torch.randn(5, 6, 1, 1)
    assert torch.allclose(conv(x), F.conv2d(x, conv.weight, padding=1), atol=1e-6)


def test_resnet18_has_the_published_size() -> None:
    # 11,173,962 is the usual count for CIFAR's ResNet-18; GroupNorm has as many parameters as BatchNorm
    network = build({"name": "resnet18", "width": 64, "groups": 32}, channels=3, classes=10, seed=0)
    assert sum(parameter.numel() for parameter in network.parameters()) == 11_173_962


def test_weights_follow_from_the_seed_alone() -> None:
    torch.manual_seed(1)
    one = weights_digest(build(RESNET, channels=1, classes=5, seed=3))
    before = torch.random.get_rng_state()
    torch.rand(7)
    torch.random.set_rng_state(before)
    assert weights_digest(build(RESNET, channels=1, classes=5, seed=3)) == one
    assert torch.equal(torch.random.get_rng_state(), before)
    assert weights_digest(build(RESNET, channels=1, classes=5, seed=4)) != one


def test_wrong_models_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'resnet18'"):
        build({"name": "resnet81"}, channels=1, classes=2, seed=0)
    with pytest.raises(OptionError, match="'groups' of the model 'resnet18' is 3, expected a divisor of width"):
        build({"name": "resnet18", "width": 4, "groups": 3}, channels=1, classes=2, seed=0)
    with pytest.raises(OptionError, match="has no option 'depth'"):
        build({"name": "resnet18", "depth": 4}, channels=1, classes=2, seed=0)
    with pytest.raises(OptionError, match="has no name"):
        build({"width": 4}, channels=1, classes=2, seed=0)
