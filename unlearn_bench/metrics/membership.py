"""Membership inference from the model's confidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unlearn_bench.metrics import metric, once_per_outputs
from unlearn_bench.models.outputs import ModelOutputs, Outputs

MAX_STEPS = 100
TOLERANCE = 1e-10  # of the gradient, divided by the number of samples

Array = npt.NDArray[np.float64]


@metric(
    label="MIA",
    bounds=(0, 1),
    better="near retrained",
    source="Seo, Kim and Han, appendix B",
    version=2,
    reads="logits",
    about="forget",
    shows="How many forgotten samples get the confidence of training samples.",
    hides="What attacks with shadow models or with features would find; a new head or another "
    "temperature alone changes the value.",
    without_reference="0 is not the aim: retrained models are confident on unseen samples too, so a value far "
    "below the original's may mean that the method only lowers confidence.",
)
def mia(outputs: ModelOutputs) -> float:
    """Share of D_f that an attack on the confidence q(x) = max softmax classifies as members of the training set.

    The attack is logistic regression on q of members (D_r) against non-members (D_test, both parts; for a backdoor only
    the clean test images, since the triggered ones are copies of them; for a list all test images). Both sides have
    equal weight: the larger one is weighted down to the size of the smaller one. Drawing a subset of it instead would
    add noise.

    Where the attack separates the sides, the median over drawn subsets equals this value. Where it does not, the slope
    is near zero and its sign is random. Drawn subsets then scatter widely (.27 ± .24 for a value of .17), and so would
    this value with other test images. ``mia_accuracy`` distinguishes the two cases.

    q is standardised under these weights, and the penalty is scikit-learn's default (C = 1), as in the linear probes.
    Without standardising, the penalty would determine the attack wherever confidences differ only in the third digit.

    Example:
        >>> import torch
        >>> labels, high, low = torch.tensor([0, 0]), torch.tensor([[9.0, 0.0], [8.0, 0.0]]), torch.zeros(2, 2)
        >>> seen, unseen = Outputs(high, high, labels), Outputs(low, low, labels)
        >>> mia(ModelOutputs(retain=seen, forget=seen, test_retain=unseen, test_forget=unseen))
        1.0
    """
    return _decisions(outputs).forget


@metric(
    label="MIA attack",
    bounds=(0, 1),
    better="near retrained",
    source="Seo, Kim and Han, appendix B: the accuracy of the attack",
    reads="logits",
    about="retain",
    shows="Whether the attack behind MIA distinguishes training samples from unseen ones: at 0.5 it guesses, and MIA "
    "carries no information.",
    hides="Anything about D_f: the attack is fitted on D_r and the test images.",
    without_reference="Near 0.5 the MIA of two models cannot be compared; a higher value means a better attack.",
)
def mia_accuracy(outputs: ModelOutputs) -> float:
    """Balanced accuracy of the attack behind ``mia``: the mean share of D_r and of D_test that it classifies correctly.

    The accuracy is measured on the samples that the attack is fitted on, since ``mia`` counts the decisions of that
    attack. With two parameters, the fit raises the accuracy by .006 where both sides have one distribution (.506 ± .008
    for 1,292 and 359 samples, the sizes of the demo). The bound of :mod:`unlearn_bench.report.chance` allows for this.
    Ten-fold cross-fitting removes the bias, but it scatters more (.501 ± .014), depends on the assignment of samples to
    folds, and measures ten other attacks.

    Example:
        >>> import torch
        >>> labels, high, low = torch.tensor([0, 0]), torch.tensor([[9.0, 0.0], [8.0, 0.0]]), torch.zeros(2, 2)
        >>> seen, unseen = Outputs(high, high, labels), Outputs(low, low, labels)
        >>> mia_accuracy(ModelOutputs(retain=seen, forget=seen, test_retain=unseen, test_forget=unseen))
        1.0
    """
    return _decisions(outputs).accuracy


@dataclass(frozen=True)
class Decisions:
    """The result of an attack: the share of D_f that it classifies as members, and its balanced accuracy."""

    forget: float
    accuracy: float


@once_per_outputs
def _decisions(outputs: ModelOutputs) -> Decisions:
    return decide(outputs, confidence)


def decide(outputs: ModelOutputs, score: Callable[[Outputs], Array]) -> Decisions:
    """Returns the decisions of the attack on a score, which maps N outputs to (N,) float64.

    Example:
        >>> import torch
        >>> labels, high, low = torch.tensor([0, 0]), torch.tensor([[9.0, 0.0], [8.0, 0.0]]), torch.zeros(2, 2)
        >>> known, other = Outputs(high, high, labels), Outputs(low, low, labels)
        >>> decide(ModelOutputs(retain=known, forget=other, test_retain=other, test_forget=other), confidence)
        Decisions(forget=0.0, accuracy=1.0)
    """
    members, non_members = score(outputs.retain), np.concatenate([score(part) for part in unseen(outputs)])
    slope, level, mean, std = attack(members, non_members)

    def share(q: Array) -> float:
        return float((slope * ((q - mean) / std) + level > 0).mean())

    return Decisions(share(score(outputs.forget)), (share(members) + 1 - share(non_members)) / 2)


def unseen(outputs: ModelOutputs) -> list[Outputs]:
    """Returns the outputs on the non-members of the attacks, see :func:`mia`.

    Example:
        >>> import torch
        >>> part = Outputs(torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([0]))
        >>> clean, poisoned = ModelOutputs(part, part, part, part), ModelOutputs(part, part, part, part, part, 0)
        >>> len(unseen(clean)), len(unseen(poisoned))
        (2, 1)
    """
    has_other_images = outputs.triggered is None and outputs.has_counterpart
    return [outputs.test_retain, outputs.test_forget] if has_other_images else [outputs.test_retain]


def attack(members: Array, non_members: Array) -> tuple[float, float, float, float]:
    """Returns slope and level of the attack on standardised confidence, and the mean and deviation that standardise it.

    The objective, and with it the decision, is scikit-learn's. With two parameters, Newton's method needs a handful of
    passes over the samples, where scikit-learn's quasi-Newton solver needs dozens.

    Args:
        members, non_members: (N,) float64 confidences.

    Raises:
        RuntimeError: no convergence.

    Example:
        >>> slope, level, mean, std = attack(np.array([0.9, 0.8]), np.array([0.6, 0.5]))
        >>> slope > 0, round(mean, 6)
        (True, 0.7)
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
            # the step is too long: the loss is convex, so a shorter one lowers it. The slope needs no logarithm
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
    """Returns the largest softmax probability of each sample, (N,) float64.

    Example:
        >>> import torch
        >>> confidence(Outputs(torch.zeros(1, 2), logits=torch.zeros(1, 2), labels=torch.tensor([0])))
        array([0.5])
    """
    q: Array = outputs.logits.double().softmax(dim=1).amax(dim=1).cpu().numpy()
    return q
