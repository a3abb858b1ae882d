"""Membership inference from other scores than the confidence of ``mia``; computed on request.

Every attack has the members, the non-members and the equal weights of :func:`unlearn_bench.metrics.membership.mia`.
``mia`` reads the largest probability, whatever its class. The scores here, except the entropy, read the label.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from sklearn.svm import SVC
from torch import Tensor

from unlearn_bench.metrics import metric
from unlearn_bench.metrics.membership import decide, unseen
from unlearn_bench.models.outputs import ModelOutputs, Outputs

SVC_SAMPLES = 1000  # of each side: training takes the square of their number
SVC_SOURCE = "Fan et al. 2024, SVC_MIA.py of their code (OPTML-Group/Unlearn-Saliency), adapted"
SCORES_SOURCE = "Song and Mittal 2021, Systematic evaluation of privacy risks, USENIX Security"

Array = npt.NDArray[np.float64]

score_attack = partial(metric, bounds=(0, 1), better="near retrained", on_request=True)


@score_attack(
    label="MIA (confidence)",
    source=SCORES_SOURCE,
    shows="How many forgotten samples have the probability of their label that training samples have.",
    hides="Everything before the last layer: a bias on the forgotten classes (bias_cheat) brings the value to 0, and "
    "another temperature (calibration) moves it. Nothing says whether the attack is better than guessing.",
    without_reference="For whole classes a retrained model is near 0, since it never predicts them; for other forget "
    "sets it is near the attack's share on test images.",
)
def mia_confidence(outputs: ModelOutputs) -> float:
    """Share of D_f that an attack on the probability p_y of the label classifies as members.

    ``mia`` reads the largest probability instead: a sample of D_f that the model assigns to another class with
    certainty is a member for ``mia`` and none here.

    Example:
        >>> labels, high, low = torch.tensor([0, 0]), torch.tensor([[9.0, 0.0], [8.0, 0.0]]), torch.zeros(2, 2)
        >>> seen, unseen = Outputs(high, high, labels), Outputs(low, low, labels)
        >>> mia_confidence(ModelOutputs(retain=seen, forget=seen, test_retain=unseen, test_forget=unseen))
        1.0
    """
    return decide(outputs, label_confidence).forget


@score_attack(
    label="MIA (entropy)",
    source=SCORES_SOURCE,
    shows="How many forgotten samples have the entropy of outputs that training samples have.",
    hides="Whether the certain prediction is the label. A temperature alone (calibration) moves the value, and so does "
    "a bias (bias_cheat).",
    without_reference="0 is not the aim: retrained models are certain of unseen samples too.",
)
def mia_entropy(outputs: ModelOutputs) -> float:
    """Share of D_f that an attack on the entropy −Σ p log p of the output classifies as members.

    Like ``mia``, it does not read labels.

    Example:
        >>> labels, high, low = torch.tensor([0, 0]), torch.tensor([[9.0, 0.0], [8.0, 0.0]]), torch.zeros(2, 2)
        >>> seen, unseen = Outputs(high, high, labels), Outputs(low, low, labels)
        >>> mia_entropy(ModelOutputs(retain=seen, forget=seen, test_retain=unseen, test_forget=unseen))
        1.0
    """
    return decide(outputs, entropy).forget


@score_attack(
    label="MIA (modified entropy)",
    source=SCORES_SOURCE,
    shows="How many forgotten samples have the modified entropy of training samples: certain and correct.",
    hides="Everything before the last layer: a bias on the forgotten classes (bias_cheat) brings the value to 0.",
    without_reference="For whole classes a retrained model is near 0, since it never predicts them.",
)
def mia_modified_entropy(outputs: ModelOutputs) -> float:
    """Share of D_f that an attack on the modified entropy classifies as members.

    The modified entropy is −(1 − p_y) log p_y − Σ_{i≠y} p_i log(1 − p_i): 0 for a certain and correct output, large for
    a certain and wrong one. It is computed from log-probabilities, so that no logarithm is cut off. Public unlearning
    code after SalUn has another value under this name: its second logarithm is log p_i, not log(1 − p_i).

    Example:
        >>> labels, high, low = torch.tensor([0, 0]), torch.tensor([[9.0, 0.0], [8.0, 0.0]]), torch.zeros(2, 2)
        >>> seen, unseen = Outputs(high, high, labels), Outputs(low, low, labels)
        >>> mia_modified_entropy(ModelOutputs(retain=seen, forget=seen, test_retain=unseen, test_forget=unseen))
        1.0
    """
    return decide(outputs, modified_entropy).forget


@score_attack(
    label="MIA (loss)",
    source="Yeom et al. 2018, Privacy risk in machine learning, CSF",
    shows="How many forgotten samples have the loss of training samples.",
    hides="Differences between small losses where a few are huge: under bias_cheat, the test images of the forgotten "
    "class have a loss of 1e9, which determines the scale of the attack.",
    without_reference="For whole classes a retrained model is near 0, since its loss on them is high.",
)
def mia_loss(outputs: ModelOutputs) -> float:
    """Share of D_f that an attack on the cross-entropy −log p_y classifies as members.

    The loss orders samples as p_y does. The attacks differ because the fit on an unbounded score depends on its
    largest values. The threshold is fitted by logistic regression, not set to the mean training loss.

    Example:
        >>> labels, high, low = torch.tensor([0, 0]), torch.tensor([[9.0, 0.0], [8.0, 0.0]]), torch.zeros(2, 2)
        >>> seen, unseen = Outputs(high, high, labels), Outputs(low, low, labels)
        >>> mia_loss(ModelOutputs(retain=seen, forget=seen, test_retain=unseen, test_forget=unseen))
        1.0
    """
    return decide(outputs, loss).forget


@score_attack(
    label="MIA (correctness)",
    source="Yeom et al. 2018, Privacy risk in machine learning, CSF; the gap attack",
    shows="Whether correct predictions, which are more frequent in training, make forgotten samples look like members.",
    hides="Everything but the predicted class: the value is the accuracy on D_f if the model is more accurate on D_r "
    "than on test images, and 0 if it is equally accurate. bias_cheat brings it to 0.",
    without_reference="For whole classes a retrained model is at 0, since it never predicts them.",
)
def mia_correctness(outputs: ModelOutputs) -> float:
    """Share of D_f that an attack on the correctness of the prediction, 0 or 1, classifies as members.

    Example:
        >>> labels, right, wrong = torch.tensor([0, 0]), torch.tensor([[1.0, 0.0]] * 2), torch.tensor([[0.0, 1.0]] * 2)
        >>> seen, unseen = Outputs(right, right, labels), Outputs(wrong, wrong, labels)
        >>> mia_correctness(ModelOutputs(retain=seen, forget=seen, test_retain=unseen, test_forget=unseen))
        1.0
    """
    return decide(outputs, correctness).forget


@score_attack(
    label="MIA (SVC, confidence)",
    source=SVC_SOURCE,
    shows="What the attack of much unlearning code says of the forgotten samples: how many have a probability of their "
    "label that is more frequent among training samples.",
    hides="Everything before the last layer, as mia_confidence. Its scale is that of probabilities: differences above "
    "0.99 are too small for the kernel, so that it often calls all certain samples members.",
    without_reference="For whole classes a retrained model is near 0, since it never predicts them.",
)
def mia_svc_confidence(outputs: ModelOutputs) -> float:
    """Share of D_f that a support vector machine on p_y classifies as members: RBF kernel, C = 3, γ = 1, as in SalUn.

    Adapted in two points. The published "MIA" is the share that is *not* classified as members, 1 minus this value.
    Its training set has as many training as test images; here it has at most 1,000 of each side, since training takes
    the square of their number: those at evenly spaced ranks of the sorted p_y, so that no random draw and no order of
    images matters. The decision need not be monotone in p_y. If p_y is constant, nothing is a member.

    Example:
        >>> labels, high, low = torch.tensor([0, 0]), torch.tensor([[9.0, 0.0], [8.0, 0.0]]), torch.zeros(2, 2)
        >>> seen, unseen = Outputs(high, high, labels), Outputs(low, low, labels)
        >>> mia_svc_confidence(ModelOutputs(retain=seen, forget=seen, test_retain=unseen, test_forget=unseen))
        1.0
    """
    sides = [label_confidence(outputs.retain), np.concatenate([label_confidence(part) for part in unseen(outputs)])]
    size = min(SVC_SAMPLES, *(len(side) for side in sides))
    members, others = (at_even_ranks(side, size) for side in sides)
    q = np.concatenate([members, others])
    if q.min() == q.max():
        return 0.0
    classifier = SVC(C=3, kernel="rbf", gamma=1.0).fit(q[:, None], np.repeat([1, 0], size))
    return float((classifier.decision_function(label_confidence(outputs.forget)[:, None]) > 0).mean())


def at_even_ranks(values: Array, size: int) -> Array:
    """Returns ``size`` of the values: those in the middle of as many equal parts of their sorted order.

    Example:
        >>> at_even_ranks(np.array([9.0, 1.0, 5.0, 3.0, 7.0, 2.0]), 3)
        array([2., 5., 9.])
    """
    chosen: Array = np.sort(values)[(2 * np.arange(size) + 1) * len(values) // (2 * size)]
    return chosen


def label_confidence(outputs: Outputs) -> Array:
    """Returns the softmax probability of each sample's label, (N,) float64.

    Example:
        >>> part = Outputs(torch.zeros(1, 2), logits=torch.zeros(1, 2), labels=torch.tensor([0]))
        >>> label_confidence(part)
        array([0.5])
    """
    return _array(_at_labels(_log_p(outputs), outputs).exp())


def loss(outputs: Outputs) -> Array:
    """Returns the cross-entropy of each sample in nats, (N,) float64.

    Example:
        >>> part = Outputs(torch.zeros(1, 2), logits=torch.zeros(1, 2), labels=torch.tensor([0]))
        >>> loss(part).round(6)
        array([0.693147])
    """
    return _array(-_at_labels(_log_p(outputs), outputs))


def entropy(outputs: Outputs) -> Array:
    """Returns the entropy of each output in nats, (N,) float64.

    Example:
        >>> entropy(Outputs(torch.zeros(1, 2), logits=torch.zeros(1, 2), labels=torch.tensor([0]))).round(6)
        array([0.693147])
    """
    log_p = _log_p(outputs)
    return _array(-(log_p.exp() * log_p).sum(dim=1))


def correctness(outputs: Outputs) -> Array:
    """Returns 1 for each sample whose largest logit is at its label, else 0, (N,) float64.

    Example:
        >>> part = Outputs(torch.zeros(1, 2), logits=torch.zeros(1, 2), labels=torch.tensor([0]))
        >>> correctness(part)
        array([1.])
    """
    return _array(outputs.correct.double())


def modified_entropy(outputs: Outputs) -> Array:
    """Returns the modified entropy of each output, see :func:`mia_modified_entropy`, (N,) float64.

    Example:
        >>> modified_entropy(Outputs(torch.zeros(1, 2), logits=torch.zeros(1, 2), labels=torch.tensor([0]))).round(6)
        array([0.693147])
    """
    log_p, own = _log_p(outputs), outputs.labels[:, None]
    largest = log_p.argmax(dim=1, keepdim=True)
    others = log_p.scatter(1, largest, -torch.inf).logsumexp(dim=1, keepdim=True)
    log_rest = torch.log1p(-log_p.exp()).scatter(1, largest, others)  # log(1 − p), also where p rounds to 1
    terms = log_p.exp() * log_rest
    terms = terms.scatter(1, own, log_rest.gather(1, own).exp() * log_p.gather(1, own))
    return _array(-terms.sum(dim=1))


def _log_p(outputs: Outputs) -> Tensor:
    return outputs.logits.double().log_softmax(dim=1)  # (N, K)


def _at_labels(log_p: Tensor, outputs: Outputs) -> Tensor:
    return log_p.gather(1, outputs.labels[:, None])[:, 0]


def _array(values: Tensor) -> Array:
    array: Array = values.cpu().numpy()
    return array
