"""Top-1 accuracy of the model's own outputs."""

from __future__ import annotations

from unlearn_bench.metrics import metric
from unlearn_bench.outputs import ModelOutputs, Outputs


@metric(label="Acc(D_f)", bounds=(0, 100), better="near retrained", unit="%", source="Seo, Kim and Han, section 4.1")
def acc_forget(outputs: ModelOutputs) -> float:
    """Share of the forget set's test images that the model classifies as labelled."""
    return top1(outputs.test_forget)


@metric(label="Acc(D_r)", bounds=(0, 100), better="higher", unit="%", source="Seo, Kim and Han, appendix C.1")
def acc_retain(outputs: ModelOutputs) -> float:
    """Share of the retain set's test images that the model classifies as labelled."""
    return top1(outputs.test_retain)


def top1(outputs: Outputs) -> float:
    """Returns the percentage of samples whose largest logit is at their label."""
    return 100 * float((outputs.logits.argmax(dim=1) == outputs.labels).double().mean())
