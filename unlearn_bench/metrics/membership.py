"""Membership inference from the model's confidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unlearn_bench.metrics import metric, once_per_outputs
from unlearn_bench.outputs import ModelOutputs, Outputs

MAX_STEPS = 100
TOLERANCE = 1e-10  # of the gradient, a sample

Array = npt.NDArray[np.float64]


@metric(
    label="MIA",
    bounds=(0, 1),
    better="near retrained",
    source="Seo, Kim and Han, appendix B",
    version=2,
    reads="logits",
    about="forget",
    shows="How many forgotten samples the model is as confident of as of training samples.",
    hides="What attacks with shadow models or with features would find; a new head or another "
    "temperature alone moves it.",
    alone="0 is not the aim: retrained models are confident of unseen samples too, so a value far "
    "below the original's may be a cover-up.",
)
def mia(outputs: ModelOutputs) -> float:
    """Share of D_f that an attack on the confidence q(x) = max softmax calls members of the training set.

    The attack is logistic regression of member (D_r) against non-member (D_test, both parts; of a backdoor the clean
    test images alone, since the triggered ones are copies of them) on q, the two sides of equal size. The larger side
    is weighted down to the size of the smaller instead of drawing a subset of it, which would add noise of its own.
    Where the attack separates the sides, draws give this value in the median. Where it does not, the slope is near zero
    and its sign a matter of chance: draws then scatter widely (.27 ± .24 for a value of .17), and so would this value
    with other test images. ``mia_accuracy`` tells which it is. q is standardised, under these weights, and the penalty
    is scikit-learn's default (C = 1), as for the linear probes: without standardising, the penalty would decide the
    attack wherever confidences differ only in their third digit.
    """
    return _decided(outputs).forget


@metric(
    label="MIA attack",
    bounds=(0, 1),
    better="near retrained",
    source="the attack of Seo, Kim and Han, appendix B, its accuracy",
    reads="logits",
    about="retain",
    shows="Whether the attack behind MIA tells training samples from unseen ones at all: at 0.5 it guesses, and MIA "
    "says nothing.",
    hides="Anything of D_f: the attack is fitted on D_r and the test images.",
    alone="Near 0.5 the model's MIA cannot be compared with another's; above it, the higher, the better the attack.",
)
def mia_accuracy(outputs: ModelOutputs) -> float:
    """Balanced accuracy of the attack behind ``mia``: the mean share of D_r and of D_test that it names rightly.

    On the samples that it is fitted on, since it is that attack whose decisions ``mia`` counts. With two unknowns the
    fit flatters it by .006 where both sides are of one distribution (.506 ± .008 for 1,292 and 359 samples, the demo's
    numbers), which the bound of :mod:`unlearn_bench.report.chance` leaves room for. Ten-fold cross-fitting takes that
    away, but scatters more (.501 ± .014), depends on how samples are dealt out, and measures ten other attacks.
    """
    return _decided(outputs).accuracy


@dataclass(frozen=True)
class _Decided:
    """What the attack says: the share of D_f that it calls members, and its balanced accuracy."""

    forget: float
    accuracy: float


@once_per_outputs
def _decided(outputs: ModelOutputs) -> _Decided:
    parts = [outputs.test_retain] if outputs.triggered is not None else [outputs.test_retain, outputs.test_forget]
    members, non_members = confidence(outputs.retain), np.concatenate([confidence(part) for part in parts])
    slope, level, mean, std = attack(members, non_members)

    def share(q: Array) -> float:
        return float((slope * ((q - mean) / std) + level > 0).mean())

    return _Decided(share(confidence(outputs.forget)), (share(members) + 1 - share(non_members)) / 2)


def attack(members: Array, non_members: Array) -> tuple[float, float, float, float]:
    """Returns slope and level of the attack on standardised confidence, and the mean and deviation that standardise it.

    With two unknowns, Newton's method needs a handful of passes over the samples, where scikit-learn's quasi-Newton
    solver needs dozens; the objective, and with it the decision, is scikit-learn's.

    Args:
        members, non_members: (N,) float64 confidences.

    Raises:
        RuntimeError: no convergence.
    """
    sides = (members, non_members)
    size = min(len(side) for side in sides)
    q = np.concatenate(sides)
    y = np.repeat([1.0, 0.0], [len(side) for side in sides])
    weight = np.concatenate([np.full(len(side), size / len(side)) for side in sides])
    mean = float(np.average(q, weights=weight))
    std = float(np.sqrt(np.average((q - mean) ** 2, weights=weight)))
    std = std if std > 10 * np.finfo(np.float64).eps * abs(mean) else 1.0  # a constant feature stays as it is
    x = (q - mean) / std

    theta, step, slope = np.zeros(2), np.zeros(2), 0.0
    for _ in range(MAX_STEPS):
        z = (theta[0] + step[0]) * x + (theta[1] + step[1])
        small = np.exp(-np.abs(z))  # never overflows
        p = np.where(z >= 0, 1, small) / (1 + small)
        error = weight * (p - y)
        gradient = np.array([error @ x + theta[0] + step[0], error.sum()])
        if gradient @ step > slope / 2:
            # too far: the loss is convex, so a shorter step lowers it. Its slope tells, and costs no logarithm
            step, slope = step / 2, slope / 2
            continue
        theta = theta + step
        if np.abs(gradient).max() <= TOLERANCE * size:
            return float(theta[0]), float(theta[1]), mean, std
        bend = weight * p * (1 - p)
        cross = bend @ x
        step = -np.linalg.solve([[(bend * x) @ x + 1, cross], [cross, bend.sum()]], gradient)
        slope = -float(gradient @ step)  # how fast the loss falls at the start of the step
    raise RuntimeError(f"the membership attack did not converge in {MAX_STEPS} steps")


def confidence(outputs: Outputs) -> Array:
    """Returns the largest softmax probability of each sample, (N,) float64."""
    q: Array = outputs.logits.double().softmax(dim=1).amax(dim=1).cpu().numpy()
    return q
