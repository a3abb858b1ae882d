"""Likeness of the classes that two models predict."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import one_hot

from unlearn_bench.metrics.comparisons import comparison
from unlearn_bench.models.outputs import ModelOutputs, Outputs
from unlearn_bench.numerics.likeness import total_variation


@comparison(
    label="Agreement(D_f)",
    bounds=(0, 100),
    best=100,
    unit="%",
    source="the field's usual agreement of predictions, also called fidelity or churn",
    about="forget",
    shows="How many forgotten images get the very class that the retrained model gives them.",
    hides="Everything but the largest logit: a bias on the forgotten class gives the original's second choice, which "
    "is the retrained model's choice for 43 % of the forgotten images of digits.",
)
def agreement_forget(outputs: ModelOutputs, retrained: ModelOutputs) -> float:
    """Share of the training images of D_f for which both models predict the same class.

    Example:
        >>> import torch
        >>> part = Outputs(torch.zeros(2, 2), torch.eye(2), torch.tensor([0, 0]))
        >>> other = Outputs(torch.zeros(2, 2), torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 0]))
        >>> agreement_forget(*(ModelOutputs(part, each, part, part) for each in (part, other)))
        50.0
    """
    return _agreement(outputs.forget, retrained.forget)


@comparison(
    label="Agreement(D_r)",
    bounds=(0, 100),
    best=100,
    unit="%",
    source="the field's usual agreement of predictions, also called fidelity or churn",
    about="retain",
    shows="Whether the model decides as the retrained one does on new images of what is kept, its mistakes included.",
    hides="Whether anything is forgotten: the original model, and cheats that change the head alone, can agree as "
    "often as two retrained models do.",
)
def agreement_retain(outputs: ModelOutputs, retrained: ModelOutputs) -> float:
    """Share of the test images of D_r for which both models predict the same class.

    Example:
        >>> import torch
        >>> part = Outputs(torch.zeros(2, 2), torch.eye(2), torch.tensor([0, 0]))
        >>> outputs = ModelOutputs(part, part, part, part)
        >>> agreement_retain(outputs, outputs)
        100.0
    """
    return _agreement(outputs.test_retain, retrained.test_retain)


@comparison(
    label="ToW",
    bounds=(0, 1),
    best=1,
    source="Zhao et al. 2024, RUM: tug of war",
    about="forget",
    shows="Forgetting, utility and generalisation in one number: near 1 only if all three accuracies are those of the "
    "retrained model.",
    hides="Which of the three factors is far off, and everything but accuracy: for whole classes a bias on the "
    "forgotten class has the retrained model's accuracies and passes, with 0.997 on digits.",
)
def tow(outputs: ModelOutputs, retrained: ModelOutputs) -> float:
    """Tug of war: the product of 1 − |difference of the two models' accuracies| over D_f, D_r and D_r's test images.

    Accuracies are fractions. Those on D_f and D_r are of training images.

    Example:
        >>> import torch
        >>> logits, label = torch.tensor([[1.0, 0.0]]), torch.tensor([0])
        >>> right, wrong = (Outputs(logits, each, label) for each in (logits, -logits))
        >>> tow(ModelOutputs(right, right, right, right), ModelOutputs(right, wrong, right, right))
        0.0
    """
    pairs = (
        (outputs.forget, retrained.forget),
        (outputs.retain, retrained.retain),
        (outputs.test_retain, retrained.test_retain),
    )
    product = 1.0
    for ours, theirs in pairs:
        product *= 1 - abs(ours.accuracy - theirs.accuracy)
    return product


@comparison(
    label="TV(classes)",
    bounds=(0, 1),
    best=0,
    source="ours: the distance of `report --classes`, as a score",
    about="forget",
    shows="Whether the forgotten images, as a set, are classified as the classes to which the retrained model sends "
    "them.",
    hides="Which image goes where, and everything but the largest logit: a bias on the forgotten class sends images to "
    "the original's second choice and passes: it closes 57 % of the original's distance on digits.",
)
def tv_predictions(outputs: ModelOutputs, retrained: ModelOutputs) -> float:
    """Total variation distance between the two models' shares of predicted classes on the training images of D_f.

    Example:
        >>> import torch
        >>> part = Outputs(torch.zeros(2, 2), torch.eye(2), torch.tensor([0, 0]))
        >>> other = Outputs(torch.zeros(2, 2), torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 0]))
        >>> tv_predictions(*(ModelOutputs(part, each, part, part) for each in (part, other)))
        0.5
    """
    classes = outputs.classes
    return float(total_variation(*(_shares(part, classes) for part in (outputs.forget, retrained.forget))))


def _agreement(ours: Outputs, theirs: Outputs) -> float:
    return 100 * float((ours.logits.argmax(dim=1) == theirs.logits.argmax(dim=1)).double().mean())


def _shares(part: Outputs, classes: int) -> Tensor:
    return one_hot(part.logits.argmax(dim=1), classes).double().mean(dim=0)  # unlike bincount, repeatable on a GPU
