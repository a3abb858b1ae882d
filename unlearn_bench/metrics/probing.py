"""Linear probes: what a new linear classifier can still read from the frozen features."""

from __future__ import annotations

import torch
from torch import Tensor

from unlearn_bench.metrics import metric
from unlearn_bench.models.outputs import ModelOutputs
from unlearn_bench.numerics.logistic import logistic_regression


@metric(
    label="LP(D_f)",
    bounds=(0, 100),
    better="near retrained",
    unit="%",
    source="Seo, Kim and Han, appendix B",
    version=2,
    reads="features",
    about="forget",
    shows="How well a new linear classifier can still read the forget set's labels from the features: "
    "a new head would restore this knowledge.",
    hides="Knowledge that is not linear in the features. Good features separate unseen classes "
    "too, so a high value does not prove memory.",
    without_reference="Retrained models lie below the original and far above chance. A value equal to the original's "
    "means that nothing changed.",
    undefined={"list": "no test images correspond to a list, and the probe is trained on the listed ones"},
)
def lp_forget(outputs: ModelOutputs) -> float:
    """Accuracy on the forget set's test images of a linear classifier trained on features of D = D_r ∪ D_f.

    Example:
        >>> from unlearn_bench.models.outputs import Outputs
        >>> features, labels = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
        >>> part = Outputs(features=features, logits=torch.zeros(2, 2), labels=labels)
        >>> lp_forget(ModelOutputs(retain=part, forget=part, test_retain=part, test_forget=part))
        100.0
    """
    features = torch.cat([outputs.retain.features, outputs.forget.features])
    labels = torch.cat([outputs.retain.labels, outputs.forget.labels])
    return probe(features, labels, outputs.test_forget.features, outputs.test_forget.labels)


@metric(
    label="LP(D_r)",
    bounds=(0, 100),
    better="higher",
    unit="%",
    source="Seo, Kim and Han, appendix B",
    version=2,
    reads="features",
    about="retain",
    shows="How well the features still separate the retained classes.",
    hides="Whether anything is forgotten.",
    without_reference="Unlearning should keep the original's value.",
)
def lp_retain(outputs: ModelOutputs) -> float:
    """Accuracy on the retain set's test images of a linear classifier trained on features of D_r.

    Example:
        >>> from unlearn_bench.models.outputs import Outputs
        >>> features, labels = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
        >>> part = Outputs(features=features, logits=torch.zeros(2, 2), labels=labels)
        >>> lp_retain(ModelOutputs(retain=part, forget=part, test_retain=part, test_forget=part))
        100.0
    """
    train, test = outputs.retain, outputs.test_retain
    return probe(train.features, train.labels, test.features, test.labels)


@metric(
    label="LP(subclass)",
    bounds=(0, 100),
    better="near retrained",
    unit="%",
    source="Seo, Kim and Han, section 5.2",
    scenarios=("subclass",),
    version=2,
    reads="features",
    about="forget",
    shows="How well a new linear classifier for the finer labels can still read the forgotten subclass.",
    hides="Knowledge that is not linear in the features. Good features separate unseen subclasses too.",
    without_reference="At the original's value nothing has changed; retrained models lie far above chance.",
)
def lp_subclass(outputs: ModelOutputs) -> float:
    """Accuracy on the forget set's test images of a linear classifier for the finer labels, trained on features of D.

    Raises:
        ValueError: the images have no finer labels.

    Example:
        >>> from unlearn_bench.models.outputs import Outputs
        >>> features, fine = torch.tensor([[-1.0], [1.0]]), torch.tensor([2, 3])
        >>> part = Outputs(features=features, logits=torch.zeros(2, 2), labels=torch.tensor([1, 1]), fine=fine)
        >>> lp_subclass(ModelOutputs(retain=part, forget=part, test_retain=part, test_forget=part))
        100.0
    """
    parts = (outputs.retain, outputs.forget, outputs.test_forget)
    fine = [part.fine for part in parts if part.fine is not None]
    if len(fine) < len(parts):
        raise ValueError("lp_subclass needs finer labels, which these images do not have")
    features = torch.cat([outputs.retain.features, outputs.forget.features])
    return probe(features, torch.cat(fine[:2]), outputs.test_forget.features, fine[2])


def probe(train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor) -> float:
    """Returns the test accuracy, in percent, of multinomial logistic regression solved to convergence.

    Features are standardised by the training mean and standard deviation; a constant feature has no effect. The
    objective is scikit-learn's default, see :func:`unlearn_bench.numerics.logistic.logistic_regression`. It is strictly
    convex in the weights, so neither the start nor the order of samples matters. It is solved to a gradient of 1e-10:
    rounding on another processor changes a prediction only where two classes tie to about six digits.

    Args:
        train_x, test_x: (N, d) float.
        train_y, test_y: (N,) int64; only the classes present in ``train_y`` can be predicted.

    Raises:
        RuntimeError: no convergence.

    Example:
        >>> x, y = torch.tensor([[-1.0], [1.0]]), torch.tensor([0, 1])
        >>> probe(x, y, x, y)
        100.0
    """
    x = train_x.double()
    mean, std = x.mean(dim=0), x.std(dim=0, correction=0)
    varies = std > len(x) * torch.finfo(std.dtype).eps * mean.abs()  # more than rounding of the mean explains
    std = torch.where(varies, std, torch.ones_like(std))
    present, y = torch.unique(train_y, return_inverse=True)
    solution = logistic_regression((x - mean) / std, y, len(present))
    scores = ((test_x.double() - mean) / std) @ solution[:, :-1].T + solution[:, -1]  # (N, K)
    return 100 * float((present[scores.argmax(dim=1)] == test_y).double().mean())
