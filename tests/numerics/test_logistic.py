"""Logistic regression against scikit-learn: coefficients, decisions, and what rounding in the input does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from unlearn_bench.numerics import logistic
from unlearn_bench.numerics.logistic import logistic_regression

CASES = ["separable", "overlapping", "correlated", "few samples", "two classes", "digits", "half-trained"]


def problem(name: str) -> tuple[Tensor, Tensor, int]:
    """Returns standardised features (n, d), labels and the number of classes of a problem of that kind."""
    generator = torch.Generator().manual_seed(1)
    if name in ("digits", "half-trained"):
        images, labels = load_digits(return_X_y=True)
        x, y, k = torch.tensor(images), torch.tensor(labels), 10
        if name == "half-trained":  # a layer of random weights, with a rectifier
            x = (x @ torch.randn(64, 96, generator=generator, dtype=torch.float64)).relu()
    else:
        n, d, k = (60, 90, 4) if name == "few samples" else (600, 30, 2 if name == "two classes" else 5)
        y = torch.arange(n) % k
        overlap = 0.1 if name == "separable" else 3.0
        x = torch.randn(k, d, generator=generator)[y] + overlap * torch.randn(n, d, generator=generator)
        if name == "correlated":  # a few directions carry nearly everything, as in features of a half-trained network
            x = x @ torch.diag(torch.logspace(0, -3, d)) @ torch.randn(d, d, generator=generator)
        x = x.double()
    std = x.std(0, correction=0)
    return (x - x.mean(0)) / torch.where(std > 0, std, torch.ones_like(std)), y, k


def scores(x: Tensor, solution: Tensor) -> np.ndarray:
    found = (x @ solution[:, :-1].T + solution[:, -1]).numpy()
    return found - found.mean(1, keepdims=True)


@pytest.mark.parametrize("name", CASES)
def test_scores_are_scikit_learns(name: str) -> None:
    """Two of its solvers agree with each other to about as much as ours with either."""
    x, y, k = problem(name)
    ours = scores(x, logistic_regression(x, y, k))
    for solver, tolerance in (("newton-cg", 1e-6), ("lbfgs", 1e-3)):
        # the penalty of two classes is that of one row of weights there: twice as large for the same scores
        penalty = 2.0 if k == 2 else 1.0
        reference = LogisticRegression(C=penalty, solver=solver, tol=1e-10, max_iter=50_000).fit(x.numpy(), y.numpy())
        theirs = reference.decision_function(x.numpy())
        if k == 2:
            theirs = np.stack([-theirs, theirs], axis=1) / 2
        theirs = theirs - theirs.mean(1, keepdims=True)
        assert np.abs(ours - theirs).max() < tolerance * np.abs(theirs).max()


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_vanishes_and_classes_sum_to_zero(name: str) -> None:
    """By automatic differentiation of the objective as it is written down."""
    x, y, k = problem(name)
    theta = logistic_regression(x, y, k).requires_grad_()
    loss = torch.nn.functional.cross_entropy(x @ theta[:, :-1].T + theta[:, -1], y)
    loss = loss + theta[:, :-1].square().sum() / (2 * len(x))
    (gradient,) = torch.autograd.grad(loss, theta)
    assert float(gradient.abs().max()) <= 1.01 * logistic.GRADIENT_TOLERANCE
    assert float(theta.detach().sum(dim=0).abs().max()) < 1e-9 * float(theta.detach().abs().max())


@pytest.mark.parametrize("name", CASES)
def test_decisions_outlast_a_disturbance_as_small_as_another_processors(name: str) -> None:
    """Features disturbed by a relative 1e-6: a decision changes only where its margin was within 1e-3."""
    x, y, k = problem(name)
    before = scores(x, logistic_regression(x, y, k))
    top = np.sort(before, axis=1)
    clear = top[:, -1] - top[:, -2] > 1e-3
    assert clear.mean() > 0.99
    for seed in range(3):
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed), dtype=x.dtype)
        other = x * (1 + 1e-6 * noise)
        after = scores(other, logistic_regression(other, y, k))
        assert np.array_equal(before.argmax(1)[clear], after.argmax(1)[clear])


def test_the_order_of_samples_moves_the_solution_by_rounding_alone() -> None:
    x, y, k = problem("half-trained")
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    one, other = logistic_regression(x, y, k), logistic_regression(x[order], y[order], k)
    assert torch.allclose(one, other, rtol=0, atol=1e-6)


def test_what_is_not_finite_is_refused() -> None:
    x, y, k = problem("overlapping")
    x[0, 0] = torch.nan
    with pytest.raises(RuntimeError, match="stalls"):
        logistic_regression(x, y, k)


def test_no_convergence_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logistic, "MAX_STEPS", 2)
    with pytest.raises(RuntimeError, match="did not converge"):
        logistic_regression(*problem("overlapping"))
