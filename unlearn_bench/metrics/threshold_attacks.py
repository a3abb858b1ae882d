"""Membership inference by a threshold: D_f against the test images that correspond to it; computed on request.

The score is the margin φ = log p_y − log Σ_{c≠y} p_c of Carlini et al. 2022, computed in float64 from the logits. It
increases with p_y and falls with the loss, so that all three order samples alike and have the same curve. The margin
alone does not round to one value where the model is certain.

A model that was trained without D_f has seen neither side, so that the two sides have one distribution. The value of
a retrained model is therefore known up to the draw of images, without the model.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import rankdata

from unlearn_bench.core.errors import UnmeasurableError
from unlearn_bench.metrics import metric, once_per_outputs
from unlearn_bench.models.outputs import ModelOutputs, Outputs

SOURCE = "Carlini et al. 2022, Membership inference attacks from first principles, IEEE S&P: the score and the curve"

Array = npt.NDArray[np.float64]

attack_metric = partial(
    metric,
    bounds=(0, 1),
    better="near retrained",
    about="forget",
    undefined={"list": "no test images correspond to a list"},
    on_request=True,
)


@attack_metric(
    label="AUC(D_f)",
    source=SOURCE,
    shows="Whether forgotten samples have larger margins than unseen ones of the same class: the mean over all "
    "thresholds. Below 0.5 they have smaller ones, which gives them away too.",
    hides="Knowledge that does not tell a sample from an unseen one of its class: where the original is near 0.5 too, "
    "as on digits, a model that forgets nothing passes. Cheats of the head (bias_cheat, calibration) stay near the "
    "original's value.",
    without_reference="0.5 is the value of a retrained model, up to the draw of images: it has seen neither side.",
)
def auc_forget(outputs: ModelOutputs) -> float:
    """Probability that a sample of D_f has a larger margin than an unseen one; a tie counts as one half.

    Unseen are the test images that correspond to D_f: those of its class, all test images for a random subset, and for
    a backdoor the triggered test images of other classes with the target as label.

    The margin is log p_y − log Σ_{c≠y} p_c. It orders samples as p_y and the loss do, and does not round to one value
    where the model is certain.

    Example:
        >>> labels, logits = torch.tensor([0, 0]), torch.tensor([[1.0, 0.0], [3.0, 0.0]])
        >>> seen, unseen = Outputs(logits, logits, labels), Outputs(logits - 1, logits * 0.5, labels)
        >>> auc_forget(ModelOutputs(retain=seen, forget=seen, test_retain=unseen, test_forget=unseen))
        0.75
    """
    return area(*_sides(outputs))


@attack_metric(
    label="Balanced accuracy(D_f)",
    source="Yeom et al. 2018, Privacy risk in machine learning, CSF: membership advantage, the mean of both shares",
    shows="How well the best threshold on the margin separates forgotten samples from unseen ones of the same class.",
    hides="The direction: only samples above the threshold count as members. The threshold is chosen on the samples "
    "that are counted, which raises the value.",
    without_reference="A retrained model is at 0.5 plus what choosing the threshold adds, on average 0.31 √(1/n + 1/m) "
    "for n samples of D_f and m unseen ones.",
)
def balanced_forget(outputs: ModelOutputs) -> float:
    """Largest mean, over all thresholds, of the shares of D_f above it and of unseen samples not above it.

    The sides are those of ``auc_forget``. It is at least 0.5: no sample is above the largest threshold.

    Example:
        >>> labels, logits = torch.tensor([0, 0]), torch.tensor([[1.0, 0.0], [3.0, 0.0]])
        >>> seen, unseen = Outputs(logits, logits, labels), Outputs(logits - 1, logits * 0.5, labels)
        >>> balanced_forget(ModelOutputs(retain=seen, forget=seen, test_retain=unseen, test_forget=unseen))
        0.75
    """
    return best_balanced_accuracy(*_sides(outputs))


@attack_metric(
    label="TPR(D_f) at 1 % FPR",
    source=SOURCE,
    shows="Whether some forgotten samples are exposed with few false alarms, where an average shows nothing.",
    hides="Samples below the threshold. With fewer than 100 unseen samples no false alarm is allowed, and one image "
    "determines the threshold.",
    without_reference="A retrained model is at (k + 1) / (n + 1) on average, where k = n / 100, rounded down, of n "
    "unseen samples: at 0.011 for n = 1,000.",
)
def tpr_forget_1(outputs: ModelOutputs) -> float:
    """Share of D_f with a margin above the smallest threshold that at most 1 % of unseen samples exceed.

    The sides are those of ``auc_forget``. The false positive rate is never above 1 %: samples that tie with the
    threshold are not members.

    Example:
        >>> labels, logits = torch.tensor([0, 0]), torch.tensor([[1.0, 0.0], [3.0, 0.0]])
        >>> seen, unseen = Outputs(logits, logits, labels), Outputs(logits - 1, logits * 0.5, labels)
        >>> tpr_forget_1(ModelOutputs(retain=seen, forget=seen, test_retain=unseen, test_forget=unseen))
        0.5
    """
    return rate_at(*_sides(outputs), one_in=100)


@attack_metric(
    label="TPR(D_f) at 0.1 % FPR",
    source=SOURCE,
    shows="Whether some forgotten samples are exposed with next to no false alarm.",
    hides="Samples below the threshold. With 1,000 unseen samples, a class of CIFAR-10, the second largest margin is "
    "the threshold, so that single images decide the value. Compare means over many forget sets and seeds only.",
    without_reference="A retrained model is at (k + 1) / (n + 1) on average, where k = n / 1,000, rounded down, of n "
    "unseen samples: at 0.002 for n = 1,000, but at 0.01 for n = 100.",
)
def tpr_forget_01(outputs: ModelOutputs) -> float:
    """Share of D_f with a margin above the smallest threshold that at most 0.1 % of unseen samples exceed.

    With fewer than 1,000 unseen samples, no false positive is allowed: the value is the share of D_f above every unseen
    sample. It says nothing about a rate of 0.1 %, which so few samples cannot resolve.

    Example:
        >>> labels, logits = torch.tensor([0, 0]), torch.tensor([[1.0, 0.0], [3.0, 0.0]])
        >>> seen, unseen = Outputs(logits, logits, labels), Outputs(logits - 1, logits * 0.5, labels)
        >>> tpr_forget_01(ModelOutputs(retain=seen, forget=seen, test_retain=unseen, test_forget=unseen))
        0.5
    """
    return rate_at(*_sides(outputs), one_in=1000)


@once_per_outputs
def _sides(outputs: ModelOutputs) -> tuple[Array, Array]:
    """Returns the margins of D_f and of the unseen samples.

    Raises:
        UnmeasurableError: no test images correspond to D_f.
    """
    if not outputs.has_counterpart:
        raise UnmeasurableError(
            "The threshold attacks need test images that correspond to the forget set, and a list has none. Choose "
            "another scenario."
        )
    return margin(outputs.forget), margin(outputs.test_forget)


def margin(outputs: Outputs) -> Array:
    """Returns log p_y − log Σ_{c≠y} p_c of each sample, (N,) float64.

    Example:
        >>> margin(Outputs(torch.zeros(1, 2), logits=torch.tensor([[40.0, 0.0]]), labels=torch.tensor([0])))
        array([40.])
    """
    z, own = outputs.logits.double(), outputs.labels[:, None]
    others = z.scatter(1, own, -torch.inf).logsumexp(dim=1)
    array: Array = (z.gather(1, own)[:, 0] - others).cpu().numpy()
    return array


def area(members: Array, others: Array) -> float:
    """Returns the area under the ROC curve of the scores of members, (N,), against others, (M,): Mann–Whitney's U / NM.

    Example:
        >>> area(np.array([1.0, 2.0]), np.array([0.0, 2.0]))
        0.625
    """
    n, m = len(members), len(others)
    ranks = rankdata(np.concatenate([members, others]))[:n]  # ties share their mean rank
    return float((ranks.sum() - n * (n + 1) / 2) / (n * m))


def best_balanced_accuracy(members: Array, others: Array) -> float:
    """Returns the largest (TPR + 1 − FPR) / 2 over all thresholds; members are above the threshold.

    Example:
        >>> best_balanced_accuracy(np.array([1.0, 2.0]), np.array([0.0, 2.0]))
        0.75
    """
    thresholds = np.concatenate([members, others])
    above = [1 - np.searchsorted(np.sort(side), thresholds, side="right") / len(side) for side in (members, others)]
    return float((above[0] + 1 - above[1]).max() / 2)


def rate_at(members: Array, others: Array, one_in: int) -> float:
    """Returns the share of members above the smallest threshold that at most one in ``one_in`` others exceeds.

    Example:
        >>> rate_at(np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.0]), one_in=2)
        1.0
    """
    allowed = len(others) // one_in  # in integers: 0.01 · 2,900 rounds to less than 29
    threshold = np.sort(others)[len(others) - 1 - allowed] if allowed < len(others) else -np.inf
    return float((members > threshold).mean())
