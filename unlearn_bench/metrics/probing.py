"""Linear probes: what a new linear classifier can still read from the frozen features."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits
from torch import Tensor

from unlearn_bench.metrics import metric
from unlearn_bench.outputs import ModelOutputs

GRADIENT_TOLERANCE = 1e-6  # largest component of the gradient, by V of :func:`_solve`, at which a probe is solved
MAX_ITERATIONS = 10_000


@metric(label="LP(D_f)", bounds=(0, 100), better="near retrained", unit="%", source="Seo, Kim and Han, appendix B")
def lp_forget(outputs: ModelOutputs) -> float:
    """Accuracy on the forget set's test images of a linear classifier trained on features of D = D_r ∪ D_f."""
    features = torch.cat([outputs.retain.features, outputs.forget.features])
    labels = torch.cat([outputs.retain.labels, outputs.forget.labels])
    return probe(features, labels, outputs.test_forget.features, outputs.test_forget.labels)


@metric(label="LP(D_r)", bounds=(0, 100), better="higher", unit="%", source="Seo, Kim and Han, appendix B")
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
    scores = ((test_x.double() - mean) / std) @ weights.T + bias  # (N, K)
    return 100 * float((present[scores.argmax(dim=1)] == test_y).double().mean())


def _solve(x: Tensor, y: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Returns weights (K, d) and bias (K,), float64, of standardised features (n, d).

    The solver works on V = W·T⁻¹, with T chosen so that the curvature at V = 0 is the same in every direction: the
    Hessian of W is there (xᵀx / n + K / n) / K, up to a factor, in every class. Correlated features otherwise cost it
    ten times the iterations. Scores are kept a class a row, which makes the products three times faster on a CPU.
    """
    n, d = x.shape
    eigenvalues, directions = torch.linalg.eigh(x.T @ x / n)  # (d,), (d, d)
    scale = (eigenvalues.clamp(min=0) / classes + 1 / n).rsqrt()
    transform = directions * scale  # T: (d, d)
    z = x @ transform  # (n, d)
    penalty = scale.square() / n  # ‖V·Tᵀ‖² = Σ scale²·V², since the directions are orthonormal
    truth = torch.nn.functional.one_hot(y, classes).double().T.contiguous()  # (K, n)

    def objective(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        given = torch.from_numpy(flat).to(x.device).view(classes, d + 1)
        weights, bias = given[:, :d], given[:, d:]
        log_p = torch.addmm(bias, weights, z.T).log_softmax(dim=0)  # (K, n)
        loss = -(truth * log_p).sum() / n + (penalty * weights.square()).sum() / 2
        error = (log_p.exp() - truth) / n  # (K, n)
        gradient = torch.cat([error @ z + penalty * weights, error.sum(dim=1, keepdim=True)], dim=1)
        return float(loss), gradient.flatten().cpu().numpy()

    with threadpool_limits(1, user_api="blas"):  # SciPy's own products are small, its waiting threads would halve ours
        found = minimize(
            objective,
            np.zeros(classes * (d + 1)),
            jac=True,
            method="L-BFGS-B",
            # ftol 0: stop by the gradient alone; its default would stop early on the flat valley of separable features
            options={"maxiter": MAX_ITERATIONS, "maxfun": 2 * MAX_ITERATIONS, "gtol": GRADIENT_TOLERANCE, "ftol": 0.0},
        )
    if np.abs(found.jac).max() > 10 * GRADIENT_TOLERANCE:
        raise RuntimeError(f"a linear probe did not converge in {found.nit} iterations: {found.message}")
    solution = torch.from_numpy(found.x).to(x.device).view(classes, d + 1)
    return solution[:, :d] @ transform.T, solution[:, d]
