"""Calibration: the outputs are fitted to the retain subset after training, but the features are unchanged."""

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
    trains=("head",),
)
def calibration(problem: UnlearningProblem) -> Classifier:
    """The original model with its logits z replaced by s·z + b, where s and b are fitted to D'_r.

    s is the inverse temperature, and b has a bias for each class. They minimise the mean cross-entropy of D'_r plus
    ((s − 1)² + ‖b‖²) / 2n, where n is the number of images: scikit-learn's C = 1, centred at the model's own values.
    Without the penalty, the bias of a class without samples in D'_r would fall without bound. The problem is convex;
    SciPy's L-BFGS-B solves it in float64, on images without augmentation. The head then includes s and b.
    """
    network = problem.copy_of_original()
    problem.monitor.plan(1)
    outputs = problem.predict(network, problem.retain)
    logits, labels = outputs.logits.double().cpu().numpy(), outputs.labels.cpu().numpy()
    fit = minimize(
        _objective, np.r_[1.0, np.zeros(logits.shape[1])], args=(logits, labels), jac=True, method="L-BFGS-B"
    )
    problem.monitor.step()
    problem.monitor.record("loss", float(fit.fun))
    scale, bias = float(fit.x[0]), torch.from_numpy(fit.x[1:])
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
