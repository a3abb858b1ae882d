"""Linear probes: what a new linear classifier can still read from the frozen features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import OptimizeResult, minimize
from threadpoolctl import threadpool_limits
from torch import Tensor

from unlearn_bench.metrics import metric
from unlearn_bench.outputs import ModelOutputs

GRADIENT_TOLERANCE = 1e-6  # largest component of the gradient at which a probe counts as solved
STAGES = (50, 950, 9_000)  # iterations, after which coordinates are chosen anew


@metric(
    label="LP(D_f)",
    bounds=(0, 100),
    better="near retrained",
    unit="%",
    source="Seo, Kim and Han, appendix B",
    reads="features",
    about="forget",
    shows="What a new linear classifier still reads of the forget set's labels from the features: "
    "knowledge that a new head would bring back.",
    hides="Knowledge that is not linear in the features; and good features tell unseen classes apart "
    "too, so high is no proof of memory.",
    alone="Retrained models lie below the original and far above chance; at the original's value nothing has moved.",
)
def lp_forget(outputs: ModelOutputs) -> float:
    """Accuracy on the forget set's test images of a linear classifier trained on features of D = D_r ∪ D_f."""
    features = torch.cat([outputs.retain.features, outputs.forget.features])
    labels = torch.cat([outputs.retain.labels, outputs.forget.labels])
    return probe(features, labels, outputs.test_forget.features, outputs.test_forget.labels)


@metric(
    label="LP(D_r)",
    bounds=(0, 100),
    better="higher",
    unit="%",
    source="Seo, Kim and Han, appendix B",
    reads="features",
    about="retain",
    shows="How well the features still serve the retained classes.",
    hides="Anything of forgetting.",
    alone="The original's value is what is to be kept.",
)
def lp_retain(outputs: ModelOutputs) -> float:
    """Accuracy on the retain set's test images of a linear classifier trained on features of D_r."""
    train, test = outputs.retain, outputs.test_retain
    return probe(train.features, train.labels, test.features, test.labels)


@metric(
    label="LP(subclass)",
    bounds=(0, 100),
    better="near retrained",
    unit="%",
    source="Seo, Kim and Han, section 5.2",
    settings=("subclass",),
    reads="features",
    about="forget",
    shows="What a new linear classifier still reads of the forgotten subclass among the finer labels.",
    hides="Knowledge that is not linear in the features; and good features tell unseen subclasses apart too.",
    alone="At the original's value nothing has moved; retrained models lie far above chance.",
)
def lp_subclass(outputs: ModelOutputs) -> float:
    """Accuracy on the forget set's test images of a linear classifier for the finer labels, trained on features of D.

    Raises:
        ValueError: the images have no finer labels.
    """
    parts = (outputs.retain, outputs.forget, outputs.test_forget)
    fine = [part.fine for part in parts if part.fine is not None]
    if len(fine) < len(parts):
        raise ValueError("lp_subclass needs finer labels, which these images do not have")
    features = torch.cat([outputs.retain.features, outputs.forget.features])
    return probe(features, torch.cat(fine[:2]), outputs.test_forget.features, fine[2])


def probe(train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor) -> float:
    """Returns the test accuracy, in percent, of multinomial logistic regression solved to convergence.

    Features are standardised by the training mean and standard deviation (a constant feature is left out of account).
    The objective is the mean cross-entropy plus ‖W‖² / (2n), n training samples, the bias not penalised: scikit-learn's
    default, C = 1. It is strictly convex in W, so neither the start nor the order of samples matters. Solved by SciPy's
    L-BFGS-B in float64, loss and gradient computed on the device of the features.

    Args:
        train_x, test_x: (N, d) float.
        train_y, test_y: (N,) int64; only the classes present in ``train_y`` can be predicted.

    Raises:
        RuntimeError: no convergence within 10,000 iterations.
    """
    x = train_x.double()
    mean, std = x.mean(dim=0), x.std(dim=0, correction=0)
    std = torch.where(std > 0, std, torch.ones_like(std))
    present, y = torch.unique(train_y, return_inverse=True)
    weights, bias = _solve((x - mean) / std, y, len(present))
    scores = ((test_x.double() - mean) / std) @ weights.T + bias.T  # (N, K)
    return 100 * float((present[scores.argmax(dim=1)] == test_y).double().mean())


def _solve(x: Tensor, y: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Returns weights (K, d) and bias (K, 1), float64, of standardised features (n, d).

    Features of separable classes are solved in some thirty iterations as they are; others need thousands, but two
    hundred in coordinates in which the curvature is the same in every direction. So it begins as it is, and goes on
    from there in coordinates of the curvature that it has come to.

    Raises:
        RuntimeError: no convergence.
    """
    n, d = x.shape
    truth = torch.nn.functional.one_hot(y, classes).double().T.contiguous()  # (K, n)
    weights, bias = torch.zeros(classes, d).to(x), torch.zeros(classes, 1).to(x)
    coordinates = _Coordinates(None, torch.ones(d).to(x))
    for iterations in STAGES:
        weights, bias, steepest = _descend(x, truth, weights, bias, coordinates, iterations)
        if steepest <= GRADIENT_TOLERANCE:
            return weights, bias
        p = torch.addmm(bias, weights, x.T).softmax(dim=0)  # (K, n)
        curvature = (p * (1 - p)).mean(dim=0)  # (n,), of each sample's cross-entropy, the mean over classes
        eigenvalues, basis = torch.linalg.eigh((x.T * curvature) @ x / n)  # (d,), (d, d)
        coordinates = _Coordinates(basis, (eigenvalues.clamp(min=0) + 1 / n).rsqrt())
    if steepest <= 10 * GRADIENT_TOLERANCE:  # where rounding ends a line search just short of it
        return weights, bias
    raise RuntimeError(f"a linear probe did not converge in {sum(STAGES)} iterations: the gradient is {steepest:.1e}")


@dataclass(frozen=True)
class _Coordinates:
    """V for W = V · diag(scale) · basisᵀ; without a basis, each feature is its own direction."""

    basis: Tensor | None
    scale: Tensor

    def of(self, weights: Tensor) -> Tensor:
        """Returns V of W, (K, d)."""
        return (weights if self.basis is None else weights @ self.basis) / self.scale

    def weights(self, v: Tensor) -> Tensor:
        """Returns W of V, (K, d)."""
        return v * self.scale if self.basis is None else (v * self.scale) @ self.basis.T

    def features(self, x: Tensor) -> Tensor:
        """Returns z with z · Vᵀ = x · Wᵀ, (n, d)."""
        return x if self.basis is None else x @ (self.basis * self.scale)

    def gradient(self, by_v: Tensor) -> Tensor:
        """Returns the gradient by W of one by V, (K, d)."""
        return by_v / self.scale if self.basis is None else (by_v / self.scale) @ self.basis.T


def _descend(
    x: Tensor, truth: Tensor, weights: Tensor, bias: Tensor, coordinates: _Coordinates, iterations: int
) -> tuple[Tensor, Tensor, float]:
    """Returns weights and bias after some iterations of L-BFGS, and the gradient's largest component there."""
    n, d = x.shape
    z = coordinates.features(x)
    penalty = coordinates.scale.square() / n  # ‖W‖² = Σ scale²·V², since the basis is orthonormal
    steepest = float("inf")

    def objective(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        nonlocal steepest
        given = torch.from_numpy(flat).to(x.device).view(len(truth), d + 1)
        v, bias = given[:, :d], given[:, d:]
        log_p = torch.addmm(bias, v, z.T).log_softmax(dim=0)  # (K, n): a class a row, three times faster on a CPU
        loss = -(truth * log_p).sum() / n + (penalty * v.square()).sum() / 2
        error = (log_p.exp() - truth) / n  # (K, n)
        by_v, by_bias = error @ z + penalty * v, error.sum(dim=1, keepdim=True)
        steepest = max(float(coordinates.gradient(by_v).abs().max()), float(by_bias.abs().max()))
        return float(loss), torch.cat([by_v, by_bias], dim=1).flatten().cpu().numpy()

    def stop(intermediate_result: OptimizeResult) -> None:
        if steepest <= GRADIENT_TOLERANCE:
            raise StopIteration

    start = torch.cat([coordinates.of(weights), bias], dim=1).flatten().cpu().numpy()
    # tolerances 0: the callback alone stops it; ftol's default would on the flat valley of separable features
    options = {"maxiter": iterations, "maxfun": 2 * iterations, "gtol": 0.0, "ftol": 0.0}
    with threadpool_limits(1, user_api="blas"):  # SciPy's own products are small, its waiting threads would halve ours
        found = minimize(objective, start, jac=True, method="L-BFGS-B", callback=stop, options=options)
    objective(found.x)  # the last one evaluated need not be the one returned
    solution = torch.from_numpy(found.x).to(x.device).view(len(truth), d + 1)
    return coordinates.weights(solution[:, :d]), solution[:, d:].contiguous(), steepest
