"""The airbench network: its whitening against numpy, its shapes at every image size, and what all classifiers keep."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.benchmark import make_problem

from unlearn_bench.checks.conformance.observation import observe
from unlearn_bench.core.artefacts import Folder
from unlearn_bench.core.errors import OptionError
from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data.batches import Normalise
from unlearn_bench.methods import Method, methods
from unlearn_bench.models import Classifier, build, checkpoints, disturb, weights_digest
from unlearn_bench.models.airbench import EPSILON, whitening_filters
from unlearn_bench.running.guards.weights import kept_of_redrawn
from unlearn_bench.training.curvature import squared_gradients

NARROW = {"name": "airbench", "width": 8, "deep_width": 16, "group_size": 4}


def network_of(channels: int = 3, seed: int = 0, **changes: object) -> Classifier:
    return build({**NARROW, **changes}, channels=channels, classes=5, seed=seed)


def coloured(channels: int, size: int = 9, images: int = 300) -> torch.Tensor:
    """Images whose neighbouring pixels and channels go together."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(images, channels, size, size, generator=generator).cumsum(2).cumsum(1)
    return x + torch.randn(images, 1, 1, 1, generator=generator)


def patches_of(x: torch.Tensor) -> np.ndarray:
    """Every 2×2 patch, a row each: channel by channel, row by row."""
    a = x.double().numpy()
    height, width = a.shape[2:]
    rows = [a[:, :, i : i + 2, j : j + 2].reshape(len(a), -1) for i in range(height - 1) for j in range(width - 1)]
    return np.concatenate(rows)


@pytest.mark.parametrize("channels", [1, 3])
def test_whitened_patches_have_the_identity_as_covariance(channels: int) -> None:
    x = coloured(channels)
    filters = whitening_filters(x).double().numpy().reshape(8 * channels, -1)
    values, vectors = np.linalg.eigh(np.cov(patches_of(x).T, bias=True))
    covariance = np.cov((patches_of(x) @ filters[: 4 * channels].T).T, bias=True)
    assert np.allclose(covariance, np.diag(values / (values + EPSILON)), atol=1e-5)
    assert np.allclose(np.diag(covariance), 1, atol=0.03)  # no direction of these images is near ε
    expected = (vectors * np.where(vectors[0] < 0, -1, 1) / np.sqrt(values + EPSILON)).T
    assert np.allclose(filters[: 4 * channels], expected, atol=1e-4)
    assert np.array_equal(filters[: 4 * channels], -filters[4 * channels :])


def test_whitening_of_constant_images_is_finite() -> None:
    assert bool(whitening_filters(torch.ones(4, 1, 8, 8)).isfinite().all())


def test_the_layer_applies_the_filters_to_patches(digits: Dataset) -> None:
    x = Normalise(digits.mean, digits.std)(digits.train.pixels)
    network = network_of(channels=1)
    pixels = network.whitening(x).permute(2, 3, 0, 1).reshape(-1, 8).detach().numpy()
    assert np.allclose(pixels, np.hstack([patches_of(x), -patches_of(x)]), atol=1e-6)  # before it is prepared
    network.prepare(x)
    white = network.whitening(x).permute(2, 3, 0, 1).reshape(-1, 8)[:, :4].double().numpy()
    assert np.allclose(np.cov(white.T, bias=True), np.eye(4), atol=0.02)


@pytest.mark.parametrize("norm", ["group", "batch"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 28, 32, 64])
def test_features_are_the_input_of_the_head_at_every_size(size: int, channels: int, norm: str) -> None:
    network = network_of(channels, norm=norm)
    x = torch.randn(3, channels, size, size)
    network.train()(x).sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in network.parameters())
    network.eval()
    assert network.features(x).shape == (3, 16)
    assert torch.equal(network(x), network.head(network.features(x)))
    met = []
    network.last_stage.register_forward_hook(lambda _m, _i, output: met.append(output))
    features = network.features(x)
    assert torch.allclose(met[0].flatten(2).max(dim=2).values / 9, features)


def test_shapes_and_size_are_those_of_the_paper() -> None:
    network = build({"name": "airbench"}, channels=3, classes=10, seed=0)
    sides = []
    for part in (network.whitening, network.group1, network.group2, network.group3):
        part.register_forward_hook(lambda _m, _i, output: sides.append(tuple(output.shape[1:])))
    network(torch.zeros(1, 3, 32, 32))
    assert sides == [(24, 31, 31), (64, 15, 15), (256, 7, 7), (256, 3, 3)]
    convolutions = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256)
    assert sum(p.numel() for p in network.parameters()) == convolutions + 4 * 64 + 8 * 256 + 256 * 10 + 10


def test_the_normalisation_is_an_option() -> None:
    kinds = {norm: {type(m).__name__ for m in network_of(norm=norm).modules()} for norm in ("group", "batch")}
    assert "GroupNorm" in kinds["group"] - kinds["batch"]
    assert "BatchNorm2d" in kinds["batch"] - kinds["group"]
    assert network_of().group1.norm1.num_groups == 2
    network_of(norm="batch", width=7, deep_width=9)
    with pytest.raises(OptionError, match=r"'group_size' of the model 'airbench' is 4, expected a divisor of width"):
        network_of(deep_width=18)


def test_a_part_drawn_anew_follows_from_its_seed_and_keeps_the_whitening() -> None:
    network = network_of()
    network.prepare(coloured(3))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    other = copy.deepcopy(network)
    network.reinitialise(network.last_stage, 5)
    other.reinitialise(other.last_stage, 5)
    after = network.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"group3.conv1.weight", "group3.conv2.weight"}  # normalisations start at 1 and 0
    assert weights_digest(network) == weights_digest(other)
    network.reinitialise(network, 6)
    assert torch.equal(network.whitening.weight, before["whitening.weight"])
    assert not torch.equal(network.group1.conv1.weight, before["group1.conv1.weight"])
    # whitening filters are large and stay: they must not pass for weights that were kept
    assert not kept_of_redrawn(("everything",), network, before, network.state_dict())
    assert kept_of_redrawn(("everything",), network, before, before)


def test_checkpoints_digests_and_disturbances_know_the_whitening(tmp_path: Path) -> None:
    network = network_of(seed=1)
    unprepared = weights_digest(network)
    network.prepare(coloured(3))
    digest, filters = weights_digest(network), network.whitening.weight.clone()
    assert digest != unprepared
    name, file_digest = checkpoints.write(network.state_dict(), Folder(tmp_path), "key")
    fresh = network_of(seed=2)
    assert checkpoints.read_weights(fresh, Folder(tmp_path), name, file_digest)
    assert weights_digest(fresh) == digest
    disturb(fresh, 0)
    assert weights_digest(fresh) != digest
    assert torch.equal(fresh.whitening.weight, filters)


def test_no_optimizer_holds_the_whitening() -> None:
    assert "whitening.weight" not in dict(network_of().named_parameters())


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_squared_gradients_equal_those_of_single_samples(norm: str) -> None:
    network = network_of(norm=norm).eval()
    x = torch.randn(3, 3, 9, 9)
    ours = squared_gradients(network, x, torch.ones_like)
    expected = {name: torch.zeros_like(value) for name, value in network.named_parameters()}
    for image in x.split(1):
        for y in range(5):
            gradients = torch.autograd.grad(network(image).log_softmax(1)[0, y], list(network.parameters()))
            for name, gradient in zip(expected, gradients, strict=True):
                expected[name] += gradient.square()
    for name, value in expected.items():
        assert torch.allclose(ours[name], value, rtol=1e-3, atol=1e-6), name


@pytest.mark.parametrize("method", list(methods), ids=lambda method: method.name)
@pytest.mark.parametrize("norm", ["group", "batch"])
def test_every_method_keeps_to_its_word_on_it(norm: str, method: Method, digits: Dataset, split: ForgetSplit) -> None:
    network = build({**NARROW, "norm": norm}, channels=1, classes=10, seed=1)
    network.prepare(Normalise(digits.mean, digits.std)(digits.train.pixels))
    problem = replace(make_problem(digits, split, method), original=network.eval().requires_grad_(False))
    before = weights_digest(network)
    seen = observe(method, problem)
    assert not seen.violations
    assert weights_digest(seen.network) != before
    assert weights_digest(network) == before


def test_both_layouts_compute_the_same_function_and_the_layout_survives_copies(tmp_path: Path) -> None:
    last, contiguous = network_of(), network_of(layout="contiguous")
    assert weights_digest(last) == weights_digest(contiguous)
    x = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    for network in (last, contiguous):
        network(x).square().mean().backward()
    assert torch.allclose(last(x), contiguous(x), rtol=1e-4, atol=1e-5)
    for one, other in zip(last.parameters(), contiguous.parameters(), strict=True):
        assert one.grad is not None and torch.allclose(one.grad, other.grad, rtol=1e-3, atol=1e-6)  # type: ignore[arg-type]
    copied = copy.deepcopy(last)
    copied.load_state_dict(contiguous.state_dict())
    copied.reinitialise(copied.last_stage, seed=1)
    for network, layout in ((copied, torch.channels_last), (contiguous, torch.contiguous_format)):
        assert network.get_submodule("group3.conv2").weight.is_contiguous(memory_format=layout)  # type: ignore[operator]
