"""Linear probes with few training images: how soon a new head restores a forget set; computed on request.

Together with ``lp_forget``, which has all images, the three values are a curve of LP(D_f) against the probe's budget.
Kept features need few images to restore a class, features that are merely general need more: compare the curve with
that of a retrained model, whose images are the same.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from unlearn_bench.metrics import metric
from unlearn_bench.metrics.probing import probe
from unlearn_bench.models.outputs import ModelOutputs

budget_metric = partial(
    metric,
    bounds=(0, 100),
    better="near retrained",
    unit="%",
    source="after Jeon et al. 2024, arXiv 2405.17878: a new head trained on 2 % of D; as a linear probe solved exactly",
    reads="features",
    about="forget",
    hides="Memory: good features separate unseen classes too. Cheats of the head (bias_cheat, calibration) leave the "
    "value at the original's. The fewer images, the more it depends on which they are; every model has the same ones.",
    without_reference="A value equal to the original's means that nothing changed.",
    undefined={"list": "no test images correspond to a list, and the probe is trained on the listed ones"},
    on_request=True,
    by_position=True,
)


@budget_metric(
    label="LP(D_f) of 1 %",
    shows="How well a new linear classifier restores the forget set's labels from 1 % of the training images.",
)
def lp_forget_1(outputs: ModelOutputs) -> float:
    """Accuracy on the forget set's test images of a linear classifier trained on 1 % of the features of D = D_r ∪ D_f.

    Each class contributes 1 % of its images, rounded, and at least one: those at evenly spaced positions. The images
    do not depend on the model.

    With ``lp_forget_2``, ``lp_forget_10`` and ``lp_forget``, which has all images, the values are a curve of accuracy
    against the probe's budget.

    Example:
        >>> from unlearn_bench.models.outputs import Outputs
        >>> features, labels = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
        >>> part = Outputs(features=features, logits=torch.zeros(2, 2), labels=labels)
        >>> lp_forget_1(ModelOutputs(retain=part, forget=part, test_retain=part, test_forget=part))
        100.0
    """
    return _probe_with(outputs, 1)


@budget_metric(
    label="LP(D_f) of 2 %",
    shows="How well a new linear classifier restores the forget set's labels from 2 % of the training images.",
)
def lp_forget_2(outputs: ModelOutputs) -> float:
    """Accuracy on the forget set's test images of a linear classifier trained on 2 % of the features of D.

    The images are chosen as for ``lp_forget_1``.

    Example:
        >>> from unlearn_bench.models.outputs import Outputs
        >>> features, labels = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
        >>> part = Outputs(features=features, logits=torch.zeros(2, 2), labels=labels)
        >>> lp_forget_2(ModelOutputs(retain=part, forget=part, test_retain=part, test_forget=part))
        100.0
    """
    return _probe_with(outputs, 2)


@budget_metric(
    label="LP(D_f) of 10 %",
    shows="How well a new linear classifier restores the forget set's labels from 10 % of the training images.",
)
def lp_forget_10(outputs: ModelOutputs) -> float:
    """Accuracy on the forget set's test images of a linear classifier trained on 10 % of the features of D.

    The images are chosen as for ``lp_forget_1``.

    Example:
        >>> from unlearn_bench.models.outputs import Outputs
        >>> features, labels = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
        >>> part = Outputs(features=features, logits=torch.zeros(2, 2), labels=labels)
        >>> lp_forget_10(ModelOutputs(retain=part, forget=part, test_retain=part, test_forget=part))
        100.0
    """
    return _probe_with(outputs, 10)


def _probe_with(outputs: ModelOutputs, percent: int) -> float:
    features = torch.cat([outputs.retain.features, outputs.forget.features])
    labels = torch.cat([outputs.retain.labels, outputs.forget.labels])
    chosen = spread_positions(labels, percent)
    return probe(features[chosen], labels[chosen], outputs.test_forget.features, outputs.test_forget.labels)


def spread_positions(labels: Tensor, percent: int) -> Tensor:
    """Returns positions of a share of each class, at least one image, evenly spaced within the class, (n,) int64.

    Args:
        labels: (N,) int64.
        percent: share of each class, 1 to 100; half an image is rounded up.

    Example:
        >>> spread_positions(torch.tensor([0, 0, 0, 0, 1, 1]), 50)
        tensor([1, 3, 5])
    """
    chosen = []
    for label in labels.unique():
        own = torch.nonzero(labels == label)[:, 0]
        size = max(1, (len(own) * percent + 50) // 100)
        chosen.append(own[(2 * torch.arange(size, device=own.device) + 1) * len(own) // (2 * size)])
    return torch.cat(chosen)
