"""Top-1 accuracy of the model's own outputs."""

from __future__ import annotations

from unlearn_bench.metrics import metric
from unlearn_bench.outputs import ModelOutputs, Outputs


@metric(
    label="Acc(D_f)",
    bounds=(0, 100),
    better="near retrained",
    unit="%",
    source="Seo, Kim and Han, section 4.1",
    reads="logits",
    about="forget",
    shows="Whether the outputs still name what was to be forgotten.",
    hides="All that lies before the last layer: a bias of −∞ on the class brings it to 0 and forgets nothing.",
    alone="Of whole classes a retrained model is at 0 %, since it never names them; of other forget "
    "sets near its test accuracy.",
)
def acc_forget(outputs: ModelOutputs) -> float:
    """Share of the forget set's test images that the model classifies as labelled."""
    return top1(outputs.test_forget)


@metric(
    label="Acc(D_r)",
    bounds=(0, 100),
    better="higher",
    unit="%",
    source="Seo, Kim and Han, appendix C.1",
    reads="logits",
    about="retain",
    shows="Whether the model still does its work.",
    hides="Anything of forgetting.",
    alone="The original's value is what is to be kept.",
)
def acc_retain(outputs: ModelOutputs) -> float:
    """Share of the retain set's test images that the model classifies as labelled."""
    return top1(outputs.test_retain)


def top1(outputs: Outputs) -> float:
    """Returns the percentage of samples whose largest logit is at their label."""
    return 100 * float((outputs.logits.argmax(dim=1) == outputs.labels).double().mean())
