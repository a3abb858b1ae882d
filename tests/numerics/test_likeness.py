"""Divergences and alignment against SciPy, NumPy and Gram matrices, and in closed form."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from unlearn_bench.numerics.likeness import js_divergence, linear_cka, total_variation


def rows(seed: int, n: int = 40, k: int = 7) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.dirichlet(np.full(k, 0.3), size=n))


def test_js_divergence_equals_scipy() -> None:
    p, q = rows(0), rows(1)
    expected = jensenshannon(p.numpy(), q.numpy(), axis=1) ** 2
    assert js_divergence(p, q).numpy() == pytest.approx(expected, abs=1e-14)
    assert torch.equal(js_divergence(p, q), js_divergence(q, p))


def test_js_divergence_is_finite_where_a_probability_is_zero() -> None:
    p, q = torch.tensor([[1.0, 0, 0], [0.5, 0.5, 0]]), torch.tensor([[0.0, 1, 0], [0.5, 0.5, 0]])
    assert js_divergence(p.double(), q.double()).tolist() == pytest.approx([np.log(2), 0])
    assert (js_divergence(rows(2), rows(2)) >= 0).all()


def gram_cka(x: np.ndarray, y: np.ndarray) -> float:
    """The definition by centred Gram matrices of all pairs of images."""
    n = len(x)
    centring = np.eye(n) - np.ones((n, n)) / n
    k, m = (centring @ side @ side.T @ centring for side in (x, y))
    return float((k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum()))


@pytest.mark.parametrize(("n", "d", "e"), [(50, 8, 8), (6, 20, 20), (30, 5, 12)])
def test_cka_equals_that_of_gram_matrices(n: int, d: int, e: int) -> None:
    rng = np.random.default_rng(n)
    x = rng.normal(size=(n, d)) + 3
    y = x[:, :1] * rng.normal(size=(1, e)) + rng.normal(size=(n, e))
    found = linear_cka(torch.from_numpy(x), torch.from_numpy(y))
    assert float(found) == pytest.approx(gram_cka(x, y), abs=1e-12)
    assert 0 < float(found) < 1


def test_cka_ignores_rotation_scale_shift_and_order_but_not_the_pairing() -> None:
    rng = np.random.default_rng(0)
    x, y = (torch.from_numpy(rng.normal(size=(40, 6))) for _ in range(2))
    rotation = torch.linalg.qr(torch.from_numpy(rng.normal(size=(6, 6)))).Q
    value = float(linear_cka(x, y))
    assert float(linear_cka(x, 5 * x @ rotation - 9)) == pytest.approx(1, abs=1e-12)
    order = torch.from_numpy(rng.permutation(40))
    assert float(linear_cka(x[order], (3 * y @ rotation + 1)[order])) == pytest.approx(value, abs=1e-12)
    assert float(linear_cka(x, x[order])) < 0.9


def test_cka_of_tiny_and_huge_features_is_the_same() -> None:
    x, y = rows(3), rows(4)
    expected = float(linear_cka(x, y))
    assert float(linear_cka(1e-120 * x, 1e120 * y)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("constant", [0.0, 0.1])
def test_cka_has_no_value_where_features_are_all_the_same(constant: float) -> None:
    x, same = rows(5), torch.full((40, 7), constant, dtype=torch.float64)
    assert torch.isnan(linear_cka(x, same))
    assert torch.isnan(linear_cka(same, x))
    assert torch.isnan(linear_cka(x[:1], x[:1]))


def test_total_variation_in_closed_form() -> None:
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.1, 0.6, 0.3])
    assert float(total_variation(p, q)) == pytest.approx(0.4)
    assert float(total_variation(torch.eye(2)[0], torch.eye(2)[1])) == 1
