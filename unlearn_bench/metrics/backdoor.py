"""Whether a backdoor still works: how the model classifies test images with the trigger."""

from __future__ import annotations

from unlearn_bench.metrics import metric
from unlearn_bench.metrics.accuracy import top1
from unlearn_bench.models.outputs import ModelOutputs, Outputs

SCENARIOS = ("backdoor",)
SOURCE = "Seo, Kim and Han, section 5.3"


@metric(
    label="ASR",
    bounds=(0, 100),
    better="lower",
    unit="%",
    source=SOURCE,
    scenarios=SCENARIOS,
    reads="logits",
    about="forget",
    shows="Whether the trigger still activates the backdoor.",
    hides="A backdoor that another trigger still activates.",
    without_reference="A model without a backdoor classifies few images of other classes as the target class.",
)
def asr(outputs: ModelOutputs) -> float:
    """Share of the triggered test images of other classes that the model classifies as the target.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> part = Outputs(features=logits, logits=logits, labels=torch.tensor([0, 0]))  # labelled as the target
        >>> asr(ModelOutputs(retain=part, forget=part, test_retain=part, test_forget=part, triggered=part, target=0))
        50.0
    """
    return top1(outputs.test_forget)


@metric(
    label="ASR (all)",
    bounds=(0, 100),
    better="lower",
    unit="%",
    source=SOURCE,
    scenarios=SCENARIOS,
    reads="logits",
    about="forget",
    shows="Whether the trigger still activates the backdoor, counting images of the target class.",
    hides="A backdoor that another trigger still activates.",
    without_reference="A model without a backdoor is at about one over the number of classes.",
)
def asr_all(outputs: ModelOutputs) -> float:
    """Share of all triggered test images, those of the target class included, that the model classifies as the target.

    This is the other convention in the literature. A model without a backdoor scores about one over the number of
    classes.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> part = Outputs(features=logits, logits=logits, labels=torch.tensor([0, 1]))
        >>> asr_all(ModelOutputs(part, part, test_retain=part, test_forget=part, triggered=part, target=1))
        50.0
    """
    triggered, target = _triggered(outputs)
    return 100 * float((triggered.logits.argmax(dim=1) == target).double().mean())


@metric(
    label="Acc(triggered)",
    bounds=(0, 100),
    better="higher",
    unit="%",
    source=SOURCE,
    scenarios=SCENARIOS,
    reads="logits",
    about="forget",
    shows="Whether the model classifies images with the trigger as their true class.",
    hides="A backdoor that another trigger still activates.",
    without_reference="A model without a backdoor is near its clean accuracy.",
)
def acc_triggered(outputs: ModelOutputs) -> float:
    """Share of the triggered test images of other classes that the model classifies as their true class.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> part = Outputs(features=logits, logits=logits, labels=torch.tensor([0, 1]))
        >>> acc_triggered(ModelOutputs(part, part, test_retain=part, test_forget=part, triggered=part, target=1))
        100.0
    """
    triggered, target = _triggered(outputs)
    return top1(triggered.where(triggered.labels != target))


@metric(
    label="Acc(clean)",
    bounds=(0, 100),
    better="higher",
    unit="%",
    source=SOURCE,
    scenarios=SCENARIOS,
    reads="logits",
    about="retain",
    shows="Whether the model still classifies images without the trigger.",
    hides="Whether anything is forgotten.",
    without_reference="Unlearning should keep the original's value.",
)
def acc_clean(outputs: ModelOutputs) -> float:
    """Share of the test images without the trigger whose label the model predicts.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> part = Outputs(features=logits, logits=logits, labels=torch.tensor([0, 0]))
        >>> acc_clean(ModelOutputs(retain=part, forget=part, test_retain=part, test_forget=part))
        50.0
    """
    return top1(outputs.test_retain)


def _triggered(outputs: ModelOutputs) -> tuple[Outputs, int]:
    if outputs.triggered is None or outputs.target is None:
        raise ValueError("a backdoor metric needs triggered test images, which this scenario does not have")
    return outputs.triggered, outputs.target
