"""Kernels against closed forms and naive loops in NumPy float64."""

import numpy as np
import pytest
import torch
from support.reference import naive_alignment

from unlearn_bench.numerics.kernels import (
    dimensional_alignment,
    effective_rank,
    kl_divergence,
    principal_subspace,
    redistribute,
)


@pytest.mark.parametrize("d", [2, 7, 40])
def test_alignment_equals_the_svd_formula(d: int) -> None:
    rng = np.random.default_rng(d)
    retain = rng.normal(size=(90, d)) * np.geomspace(1, 0.01, d)
    forget = rng.normal(size=(30, d))
    ours = dimensional_alignment(torch.from_numpy(forget), principal_subspace(torch.from_numpy(retain)))
    assert float(ours) == pytest.approx(naive_alignment(retain, forget), abs=1e-12)


def test_alignment_is_one_inside_the_subspace_and_zero_outside() -> None:
    retain = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]])
    subspace = principal_subspace(retain)
    assert subspace.shape == (3, 2)
    assert float(dimensional_alignment(torch.tensor([[3.0, -2, 0]]), subspace)) == pytest.approx(1)
    assert float(dimensional_alignment(torch.tensor([[0.0, 0, 5]]), subspace)) == pytest.approx(0)
    assert float(dimensional_alignment(torch.zeros(2, 3), subspace)) == 0


def test_alignment_gradient_is_that_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    subspace = principal_subspace(
        torch.randn(20, 5, generator=generator, dtype=torch.float64)[:, :] * torch.arange(1, 6)
    )
    forget = torch.randn(4, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: dimensional_alignment(f, subspace), (forget,))


def test_no_gradient_reaches_the_retain_features() -> None:
    retain = torch.randn(9, 4, requires_grad=True)
    assert not principal_subspace(retain).requires_grad


@pytest.mark.parametrize(
    ("eigenvalues", "rank"),
    [([5.0], 1), ([1.0] * 6, 6), ([1.0, 0.0, 0.0], 1), ([0.0, 0.0], 1), ([1.0, 1e-20, -1e-9], 1)],
)
def test_effective_rank_of_known_spectra(eigenvalues: list[float], rank: int) -> None:
    assert effective_rank(torch.tensor(eigenvalues)) == rank


def test_redistribute_and_divergence_equal_loops() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(6, 5)) * 4
    forbidden = np.zeros((6, 5), dtype=bool)
    forbidden[np.arange(6), [0, 1, 2, 3, 4, 0]] = True
    expected = 0.0
    for z, mask in zip(logits, forbidden, strict=True):
        p = np.exp(z) / np.exp(z).sum()
        target = np.where(mask, 0, p)
        target /= target.sum()
        expected += sum(t * np.log(t / q) for t, q in zip(target, p, strict=True) if t > 0) / 6
    target = redistribute(torch.from_numpy(logits), torch.from_numpy(forbidden))
    assert torch.isneginf(target[0, 0])
    ours = kl_divergence(target, torch.from_numpy(logits).log_softmax(1))
    assert float(ours) == pytest.approx(expected, abs=1e-12)


def test_self_distillation_equals_minus_log_of_what_is_kept() -> None:
    # KL(f̃ ‖ f) = −log(1 − f_c) for a target that is f without class c: a closed form
    logits = torch.tensor([[2.0, 0.0, 1.0]], dtype=torch.float64, requires_grad=True)
    forbidden = torch.tensor([[True, False, False]])
    loss = kl_divergence(redistribute(logits.detach(), forbidden), logits.log_softmax(1))
    loss.backward()
    f = logits.detach().softmax(1)
    assert loss.item() == pytest.approx(-float(torch.log(1 - f[0, 0])))
    # the target is constant, so the gradient is f − f̃
    expected = f - torch.tensor([[0.0, *(f[0, 1:] / f[0, 1:].sum()).tolist()]], dtype=torch.float64)
    assert torch.allclose(logits.grad, expected)
