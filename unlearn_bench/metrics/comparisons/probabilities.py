"""Likeness of the probabilities that two models give each image."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unlearn_bench.metrics.comparisons import comparison
from unlearn_bench.models.outputs import ModelOutputs, Outputs
from unlearn_bench.numerics.kernels import redistribute
from unlearn_bench.numerics.likeness import js_divergence as divergences
from unlearn_bench.numerics.likeness import total_variation


@comparison(
    label="AD(D_f)",
    bounds=(0, math.sqrt(2)),
    best=0,
    source="Chundawat et al. 2023; Golatkar et al. 2021 have the L1 distance",
    about="forget",
    shows="How far the probabilities of each forgotten image are from those of a model that never saw it.",
    hides="Everything before the last layer: a bias on the forgotten class, which leaves the features as they were, "
    "closes 46 % of the original's distance on digits. Two retrained models do not reach 0: compare with the row of "
    "another seed.",
)
def activation_distance(outputs: ModelOutputs, retrained: ModelOutputs) -> float:
    """Mean Euclidean distance between the softmax outputs of the two models, over the training images of D_f.

    Papers that write activation distance mean several things; this is no root of a mean square and no L1 distance.

    Example:
        >>> sure = Outputs(torch.zeros(1, 2), torch.tensor([[99.0, 0.0]]), torch.tensor([0]))
        >>> other = Outputs(torch.zeros(1, 2), torch.tensor([[0.0, 99.0]]), torch.tensor([0]))
        >>> ours, theirs = (ModelOutputs(part, part, part, part) for part in (sure, other))
        >>> round(activation_distance(ours, theirs), 4)
        1.4142
    """
    return _mean_distance(outputs.forget, retrained.forget)


@comparison(
    label="AD(D_r)",
    bounds=(0, math.sqrt(2)),
    best=0,
    source="Chundawat et al. 2023; Golatkar et al. 2021 have the L1 distance",
    about="retain",
    shows="How far unlearning moved the outputs on images that should not change, beyond what another retraining does.",
    hides="Whether anything is forgotten: the original model, and a bias on the forgotten class, are near the best "
    "value.",
)
def activation_distance_retain(outputs: ModelOutputs, retrained: ModelOutputs) -> float:
    """Mean Euclidean distance between the softmax outputs of the two models, over the test images of D_r.

    Example:
        >>> part = Outputs(torch.zeros(1, 2), torch.tensor([[2.0, 0.0]]), torch.tensor([0]))
        >>> outputs = ModelOutputs(part, part, part, part)
        >>> activation_distance_retain(outputs, outputs)
        0.0
    """
    return _mean_distance(outputs.test_retain, retrained.test_retain)


@comparison(
    label="JSD(D_f)",
    bounds=(0, math.log(2)),
    best=0,
    source="Lin 1991, equation 4.1; as a score of unlearning: Chundawat et al. 2023",
    about="forget",
    shows="How well the probabilities of a forgotten image tell the model from the retrained one, in nats.",
    hides="Everything before the last layer: a bias on the forgotten class, which leaves the features as they were, "
    "passes: it closes 53 % of the original's divergence on digits.",
)
def js_divergence(outputs: ModelOutputs, retrained: ModelOutputs) -> float:
    """Mean Jensen-Shannon divergence between the softmax outputs of the two models, in nats, over D_f.

    Its least value is 0, its greatest ln 2 = 0.693. The mean is over images; the sum over classes is not divided.

    Example:
        >>> sure = Outputs(torch.zeros(1, 2), torch.tensor([[99.0, 0.0]]), torch.tensor([0]))
        >>> other = Outputs(torch.zeros(1, 2), torch.tensor([[0.0, 99.0]]), torch.tensor([0]))
        >>> ours, theirs = (ModelOutputs(part, part, part, part) for part in (sure, other))
        >>> round(js_divergence(ours, theirs), 4)
        0.6931
    """
    return float(divergences(_probabilities(outputs.forget), _probabilities(retrained.forget)).mean())


@comparison(
    label="TV(probabilities)",
    bounds=(0, 1),
    best=0,
    source="ours: where the forgotten images go, without the probability of the forgotten class itself",
    about="forget",
    shows="Whether the forgotten images, as a set, lean to the same remaining classes as for the retrained model. A "
    "bias on the forgotten class does not change the value: it stays the original's.",
    hides="Single images: their differences cancel in the mean. Where every class is kept, as in a random forget set, "
    "each accurate model is near 0. On digits no cheat passes.",
)
def tv_probabilities(outputs: ModelOutputs, retrained: ModelOutputs) -> float:
    """Total variation distance between the two models' mean probabilities on D_f.

    Classes of which no training image is retained are left out, and the probabilities of each image are renormalised
    before the mean: otherwise the value would be little more than the probability of the forgotten class. Where each
    class of D_f has retained images (random, subclass, backdoor, most lists), all classes count: a retrained model
    still predicts them.

    Example:
        >>> retain = Outputs(torch.zeros(2, 2), torch.zeros(2, 3), torch.tensor([0, 1]))
        >>> left, right = (Outputs(torch.zeros(1, 2), torch.tensor([z]), torch.tensor([2]))
        ...                for z in ([9.0, -90.0, 99.0], [-90.0, 9.0, 0.0]))
        >>> tv_probabilities(*(ModelOutputs(retain, part, retain, part) for part in (left, right)))
        1.0
    """
    gone = torch.ones(outputs.classes, dtype=torch.bool, device=outputs.retain.labels.device)
    gone[outputs.retain.labels] = False
    is_forgotten = gone & torch.isin(torch.arange(outputs.classes, device=gone.device), outputs.forget.labels)
    means = []
    for part in (outputs.forget, retrained.forget):
        logits = part.logits.double()
        means.append(redistribute(logits, is_forgotten.expand_as(logits)).exp().mean(dim=0))
    return float(total_variation(*means).clamp(max=1))


def _probabilities(part: Outputs) -> Tensor:
    return part.logits.double().softmax(dim=1)


def _mean_distance(ours: Outputs, theirs: Outputs) -> float:
    return float((_probabilities(ours) - _probabilities(theirs)).norm(dim=1).mean())
