"""Top-1 accuracy of the model's own outputs."""

from __future__ import annotations

from unlearn_bench.metrics import metric
from unlearn_bench.models.outputs import ModelOutputs, Outputs


@metric(
    label="Acc(D_f)",
    bounds=(0, 100),
    better="near retrained",
    unit="%",
    source="Seo, Kim and Han, section 4.1",
    reads="logits",
    about="forget",
    shows="Whether the model still predicts the labels of the forget set.",
    hides="Everything before the last layer: a bias of −∞ on the forgotten class brings the value to 0 and leaves the "
    "features unchanged.",
    without_reference="For whole classes a retrained model is at 0 %, since it never predicts them; for other forget "
    "sets it is near its test accuracy.",
)
def acc_forget(outputs: ModelOutputs) -> float:
    """Share of the forget set's test images whose label the model predicts; of a list, of its training images.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> part = Outputs(features=logits, logits=logits, labels=torch.tensor([0, 0]))
        >>> acc_forget(ModelOutputs(retain=part, forget=part, test_retain=part, test_forget=part))
        50.0
    """
    return top1(outputs.test_forget)


@metric(
    label="Acc(D_r)",
    bounds=(0, 100),
    better="higher",
    unit="%",
    source="Seo, Kim and Han, appendix C.1",
    reads="logits",
    about="retain",
    shows="Whether the model still classifies the retain set.",
    hides="Whether anything is forgotten.",
    without_reference="Unlearning should keep the original's value.",
)
def acc_retain(outputs: ModelOutputs) -> float:
    """Share of the retain set's test images whose label the model predicts.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> part = Outputs(features=logits, logits=logits, labels=torch.tensor([0, 1]))
        >>> acc_retain(ModelOutputs(retain=part, forget=part, test_retain=part, test_forget=part))
        100.0
    """
    return top1(outputs.test_retain)


def top1(outputs: Outputs) -> float:
    """Returns the percentage of samples whose largest logit is at their label.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> top1(Outputs(features=logits, logits=logits, labels=torch.tensor([0, 0])))
        50.0
    """
    return 100 * outputs.accuracy
