"""Calibration: the outputs are fitted to the retain subset after training, and nothing is forgotten."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax

from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.models import Classifier

Array = npt.NDArray[np.float64]


@method(
    label="Calibration",
    source="Seo, Kim and Han, appendix D.2; temperature and bias as in Guo et al. 2017",
    train_set="D'_r",
    is_cheat=True,
    is_random=False,
    moves=("head",),
)
def calibration(problem: UnlearningProblem) -> Classifier:
    """The original model, its logits z replaced by s·z + b with s and b fitted to D'_r; the features stay.

    s, one over the temperature, and b, a bias for each class, minimise the mean cross-entropy of D'_r plus
    ((s − 1)² + ‖b‖²) / 2n, n its images: scikit-learn's C = 1, around what the model is. Without the penalty the bias
    of a class that D'_r lacks would fall without end. The problem is convex and solved by SciPy's L-BFGS-B in float64.
    Scale and bias are then made part of the head. They are fitted to images without augmentation.
    """
    network = problem.copy_of_original()
    problem.journal.plan(1)
    outputs = problem.predict(network, problem.retain)
    logits, labels = outputs.logits.double().cpu().numpy(), outputs.labels.cpu().numpy()
    found = minimize(
        _objective, np.r_[1.0, np.zeros(logits.shape[1])], args=(logits, labels), jac=True, method="L-BFGS-B"
    )
    problem.journal.step()
    problem.journal.record("loss", float(found.fun))
    scale, bias = float(found.x[0]), torch.from_numpy(found.x[1:])
    with torch.no_grad():
        network.head.weight.mul_(scale)
        network.head.bias.mul_(scale).add_(bias.to(network.head.bias))
    return network


def _objective(point: Array, logits: Array, labels: npt.NDArray[np.int64]) -> tuple[float, Array]:
    n = len(labels)
    scale, bias = point[0], point[1:]
    log_p = log_softmax(scale * logits + bias, axis=1)  # (n, K)
    error = np.exp(log_p)
    error[np.arange(n), labels] -= 1
    loss = -log_p[np.arange(n), labels].mean() + ((scale - 1) ** 2 + (bias**2).sum()) / (2 * n)
    return float(loss), np.r_[(error * logits).sum() + scale - 1, error.sum(axis=0) + bias] / n
