"""Wrong labels for the forget set: which classes are excluded, and random draws from the others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearn_bench.models import Classifier
from unlearn_bench.training.loop import Loss, cross_entropy


def forbidden_classes(labels: Tensor, classes: int, forgotten: Sequence[int]) -> Tensor:
    """Returns which classes must not be the answer for each sample of a forget set.

    These are the forgotten classes, or each sample's own label if no classes are forgotten.

    Args:
        labels: (n,) int64, the labels of the samples; of a poisoned sample, the label that the poison gives it.
        classes: K.
        forgotten: the classes whose samples are all forgotten.

    Returns:
        (n, K) bool, on the device of ``labels``.

    Example:
        >>> forbidden_classes(torch.tensor([0, 2]), 3, ())
        tensor([[ True, False, False],
                [False, False,  True]])
        >>> forbidden_classes(torch.tensor([0, 2]), 3, (1,))
        tensor([[False,  True, False],
                [False,  True, False]])
    """
    if forgotten:
        row = torch.zeros(classes, dtype=torch.bool, device=labels.device)
        row[list(forgotten)] = True
        return row.expand(len(labels), classes)
    return F.one_hot(labels, classes).bool()


def permitted_labels(forbidden: Tensor, generator: torch.Generator) -> Tensor:
    """Returns a label for each sample, drawn uniformly from the classes that are not forbidden.

    Args:
        forbidden: (n, K) bool; every row forbids the same number of classes, and less than K.
        generator: on the CPU.

    Returns:
        (n,) int64, on the device of ``forbidden``.

    Example:
        >>> forbidden = torch.tensor([[True, False], [False, True]])
        >>> permitted_labels(forbidden, torch.Generator().manual_seed(0))
        tensor([1, 0])
    """
    samples = len(forbidden)
    permitted = torch.nonzero(~forbidden)[:, 1].view(samples, -1)  # (n, permitted classes)
    choice = torch.randint(permitted.shape[1], (samples, 1), generator=generator)
    return permitted.gather(1, choice.to(permitted.device))[:, 0]


def random_label_loss(classes: int, generator: torch.Generator) -> Loss:
    """Returns a loss: the cross-entropy of labels drawn anew at each step, uniformly from all K classes.

    Args:
        classes: K.
        generator: on the CPU; the result of each call depends on its state.
    """

    def loss(network: Classifier, x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(network, x, torch.randint(classes, y.shape, generator=generator).to(y.device))

    return loss
