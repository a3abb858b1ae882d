"""Whether a backdoor still opens: what the model says of test images that show the trigger."""

from __future__ import annotations

from unlearn_bench.metrics import metric
from unlearn_bench.metrics.accuracy import top1
from unlearn_bench.outputs import ModelOutputs, Outputs

SETTINGS = ("backdoor",)
SOURCE = "Seo, Kim and Han, section 5.3"


@metric(
    label="ASR",
    bounds=(0, 100),
    better="lower",
    unit="%",
    source=SOURCE,
    settings=SETTINGS,
    reads="logits",
    about="forget",
    shows="Whether the trigger still opens the backdoor.",
    hides="A backdoor that this very patch no longer opens.",
    alone="A model without a backdoor calls few images of other classes the target: its error rate towards that class.",
)
def asr(outputs: ModelOutputs) -> float:
    """Share of the triggered test images of other classes that the model classifies as the target."""
    return top1(outputs.test_forget)


@metric(
    label="ASR (all)",
    bounds=(0, 100),
    better="lower",
    unit="%",
    source=SOURCE,
    settings=SETTINGS,
    reads="logits",
    about="forget",
    shows="Whether the trigger still opens the backdoor, images of the target class counted.",
    hides="A backdoor that this very patch no longer opens.",
    alone="A model without a backdoor is at about one over the number of classes.",
)
def asr_all(outputs: ModelOutputs) -> float:
    """Share of all triggered test images, those of the target class included, that the model classifies as the target.

    The other convention: a model without a backdoor scores about one over the number of classes here.
    """
    triggered, target = _triggered(outputs)
    return 100 * float((triggered.logits.argmax(dim=1) == target).double().mean())


@metric(
    label="Acc(triggered)",
    bounds=(0, 100),
    better="higher",
    unit="%",
    source=SOURCE,
    settings=SETTINGS,
    reads="logits",
    about="forget",
    shows="Whether images with the trigger are classified as what they show.",
    hides="A backdoor that this very patch no longer opens.",
    alone="A model without a backdoor is near its clean accuracy.",
)
def acc_triggered(outputs: ModelOutputs) -> float:
    """Share of the triggered test images of other classes that the model classifies as their true class."""
    triggered, target = _triggered(outputs)
    return top1(triggered.where(triggered.labels != target))


@metric(
    label="Acc(clean)",
    bounds=(0, 100),
    better="higher",
    unit="%",
    source=SOURCE,
    settings=SETTINGS,
    reads="logits",
    about="retain",
    shows="Whether the model still does its work.",
    hides="Anything of forgetting.",
    alone="The original's value is what is to be kept.",
)
def acc_clean(outputs: ModelOutputs) -> float:
    """Share of the test images without the trigger that the model classifies as labelled."""
    return top1(outputs.test_retain)


def _triggered(outputs: ModelOutputs) -> tuple[Outputs, int]:
    if outputs.triggered is None or outputs.target is None:
        raise ValueError("a backdoor's metric needs triggered test images, which this setting does not have")
    return outputs.triggered, outputs.target
