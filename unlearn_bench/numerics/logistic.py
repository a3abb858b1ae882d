"""Multinomial logistic regression with an L2 penalty, solved so far that rounding of the input outweighs the solver.

The solver is Newton's method with conjugate gradients. Loss and gradient are float64, and so is the precision of the
solution. The linear system of each step is solved approximately in float32, which affects only the number of steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

GRADIENT_TOLERANCE = 1e-10  # a problem is solved when no component of the gradient is larger
MAX_STEPS = 200
MAX_INNER = 200  # conjugate gradient iterations in a step
INNER_TOLERANCE = 1e-2  # of a step's residual in the norm of the preconditioner, relative to its start
REFRESH = 12  # a step of more iterations is followed by a new preconditioner
SHORTEST = 2.0**-40  # least share of a step that is tried
ROUNDING = 1e-12  # of the loss, relative


def logistic_regression(x: Tensor, y: Tensor, classes: int) -> Tensor:
    """Returns the weights and biases of multinomial logistic regression, (K, d + 1) float64, the biases last.

    The objective is the mean cross-entropy of n samples plus ‖W‖² / (2n); the biases have no penalty. This is
    scikit-learn's default, C = 1. It is strictly convex in W; the rows of W and the biases sum to zero over classes.

    A step is halved until it meets the approximate Wolfe conditions of Hager and Zhang 2005. They hold in floating
    point even where the loss no longer resolves the decrease.

    Args:
        x: (n, d) float64, standardised.
        y: (n,) int64, every class of 0 … K − 1 at least once.
        classes: K.

    Raises:
        RuntimeError: the gradient is still too large after the last step, or no share of a step lowers the loss.

    Example:
        >>> x, y = torch.tensor([[-1.0], [1.0]], dtype=torch.float64), torch.tensor([0, 1])
        >>> solution = logistic_regression(x, y, classes=2)
        >>> (x @ solution[:, :-1].T + solution[:, -1]).argmax(dim=1)
        tensor([0, 1])
    """
    problem = _Problem(x, one_hot(y, classes).double().T.contiguous())
    theta = torch.zeros(classes, x.shape[1] + 1).to(x)
    point = problem.evaluate(theta)
    system = problem.system(point.p)
    for _ in range(MAX_STEPS):
        if point.steepest <= GRADIENT_TOLERANCE:
            return theta
        step, iterations = system.solve(point)
        slope, share = float((point.gradient * step).sum()), 1.0
        while True:
            after = problem.evaluate(theta + share * step)
            falls = after.loss <= point.loss + ROUNDING * abs(point.loss)
            if falls and float((after.gradient * step).sum()) <= -0.8 * slope:
                break
            share /= 2
            if share < SHORTEST:
                raise RuntimeError(f"logistic regression stalls at a gradient of {point.steepest:.1e}")
        theta, point = theta + share * step, after
        system = problem.system(point.p) if iterations > REFRESH else system.at(point.p)
    raise RuntimeError(
        f"logistic regression did not converge in {MAX_STEPS} steps: the gradient is {point.steepest:.1e}"
    )


@dataclass(frozen=True)
class _Point:
    """The objective at some parameters: loss, probabilities (K, n) and gradient (K, d + 1), float64."""

    loss: float
    p: Tensor
    gradient: Tensor

    @property
    def steepest(self) -> float:
        """The gradient's largest component."""
        return float(self.gradient.abs().max())


class _Problem:
    """The objective of :func:`logistic_regression`, and its curvature.

    Args:
        x: (n, d) float64.
        truth: (K, n) float64, one-hot labels. Classes are rows, which is three times faster on a CPU than columns.
    """

    def __init__(self, x: Tensor, truth: Tensor) -> None:
        self.x, self.truth = x, truth
        self.design = torch.cat([x, torch.ones(len(x), 1).to(x)], dim=1).float()  # (n, d + 1)

    def evaluate(self, theta: Tensor) -> _Point:
        """Returns the objective at the parameters (K, d + 1)."""
        n, weights = len(self.x), theta[:, :-1]
        log_p = torch.addmm(theta[:, -1:], weights, self.x.T).log_softmax(dim=0)  # (K, n)
        loss = -(self.truth * log_p).sum() / n + weights.square().sum() / (2 * n)
        p = log_p.exp()
        error = p - self.truth
        gradient = torch.cat([error @ self.x + weights, error.sum(dim=1, keepdim=True)], dim=1) / n
        return _Point(float(loss), p, gradient)

    def system(self, p: Tensor) -> _System:
        """Returns Newton's equations at the probabilities (K, n) float64, with a preconditioner for them."""
        curvature = (p * (1 - p)).mean(dim=0).float()  # (n,), of each sample's cross-entropy, the mean over classes
        mean = (self.design.T * curvature) @ self.design  # (d + 1, d + 1)
        mean.diagonal()[:-1].add_(1)
        mean.diagonal()[-1].mul_(1 + 1e-5)  # the biases have no penalty that would keep it definite in float32
        return _System(self.design, p.float(), mean, torch.linalg.inv(mean.double()).float())


@dataclass(frozen=True)
class _System:
    """Newton's equations times n, float32.

    Attributes:
        design: (n, d + 1), samples with a column of ones.
        p: (K, n) probabilities.
        mean: (d + 1, d + 1), the mean curvature of classes at these probabilities or earlier ones.
        inverse: of ``mean``, the preconditioner of every class.
    """

    design: Tensor
    p: Tensor
    mean: Tensor
    inverse: Tensor

    def at(self, p: Tensor) -> _System:
        """Returns the equations at other probabilities, (K, n) float64, with the same preconditioner."""
        return _System(self.design, p.float(), self.mean, self.inverse)

    def times(self, v: Tensor) -> Tensor:
        """Returns the Hessian times v, (K, d + 1).

        Adding the same vector to all classes changes no probability, so the Hessian is singular in that direction. The
        mean curvature replaces it there and makes the product definite; right sides and solutions have no such part.
        """
        scores = (v @ self.design.T).mul_(self.p)
        scores -= self.p * scores.sum(dim=0)
        product = scores @ self.design + v.mean(dim=0) @ self.mean
        product[:, :-1] += v[:, :-1]
        return product

    def solve(self, point: _Point) -> tuple[Tensor, int]:
        """Returns Newton's step, (K, d + 1) float64, and the number of conjugate gradient iterations."""
        scale = point.gradient.norm()
        residual = -(point.gradient / scale).float()
        step, direction = torch.zeros_like(residual), residual @ self.inverse
        energy = first = float((residual * direction).sum())
        iterations = 0
        while energy > INNER_TOLERANCE**2 * first and iterations < MAX_INNER:
            product = self.times(direction)
            length = energy / float((direction * product).sum())
            step.add_(direction, alpha=length)
            residual.sub_(product, alpha=length)
            conditioned = residual @ self.inverse
            before, energy = energy, float((residual * conditioned).sum())
            direction = conditioned.add_(direction, alpha=energy / before)
            iterations += 1
        solution = step.double() * (scale * len(self.design))
        return solution - solution.mean(dim=0), iterations  # rounding leaves a part that is the same for all classes
