"""Linear probes: what a new linear classifier can still read from the frozen features."""

from __future__ import annotations

import torch
from torch import Tensor

from unlearn_bench.logistic import logistic_regression
from unlearn_bench.metrics import metric
from unlearn_bench.outputs import ModelOutputs


@metric(
    label="LP(D_f)",
    bounds=(0, 100),
    better="near retrained",
    unit="%",
    source="Seo, Kim and Han, appendix B",
    version=2,
    reads="features",
    about="forget",
    shows="What a new linear classifier still reads of the forget set's labels from the features: "
    "knowledge that a new head would bring back.",
    hides="Knowledge that is not linear in the features; and good features tell unseen classes apart "
    "too, so high is no proof of memory.",
    alone="Retrained models lie below the original and far above chance; at the original's value nothing has moved.",
)
def lp_forget(outputs: ModelOutputs) -> float:
    """Accuracy on the forget set's test images of a linear classifier trained on features of D = D_r ∪ D_f."""
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
    shows="How well the features still serve the retained classes.",
    hides="Anything of forgetting.",
    alone="The original's value is what is to be kept.",
)
def lp_retain(outputs: ModelOutputs) -> float:
    """Accuracy on the retain set's test images of a linear classifier trained on features of D_r."""
    train, test = outputs.retain, outputs.test_retain
    return probe(train.features, train.labels, test.features, test.labels)


@metric(
    label="LP(subclass)",
    bounds=(0, 100),
    better="near retrained",
    unit="%",
    source="Seo, Kim and Han, section 5.2",
    settings=("subclass",),
    version=2,
    reads="features",
    about="forget",
    shows="What a new linear classifier still reads of the forgotten subclass among the finer labels.",
    hides="Knowledge that is not linear in the features; and good features tell unseen subclasses apart too.",
    alone="At the original's value nothing has moved; retrained models lie far above chance.",
)
def lp_subclass(outputs: ModelOutputs) -> float:
    """Accuracy on the forget set's test images of a linear classifier for the finer labels, trained on features of D.

    Raises:
        ValueError: the images have no finer labels.
    """
    parts = (outputs.retain, outputs.forget, outputs.test_forget)
    fine = [part.fine for part in parts if part.fine is not None]
    if len(fine) < len(parts):
        raise ValueError("lp_subclass needs finer labels, which these images do not have")
    features = torch.cat([outputs.retain.features, outputs.forget.features])
    return probe(features, torch.cat(fine[:2]), outputs.test_forget.features, fine[2])


def probe(train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor) -> float:
    """Returns the test accuracy, in percent, of multinomial logistic regression solved to convergence.

    Features are standardised by the training mean and standard deviation (a constant feature is left out of account).
    The objective is scikit-learn's default, see :func:`unlearn_bench.logistic.logistic_regression`. It is strictly
    convex in the weights, so neither the start nor the order of samples matters, and it is solved to a gradient of
    1e-10, so that a processor's rounding moves a test image only where two classes tie to about six digits.

    Args:
        train_x, test_x: (N, d) float.
        train_y, test_y: (N,) int64; only the classes present in ``train_y`` can be predicted.

    Raises:
        RuntimeError: no convergence.
    """
    x = train_x.double()
    mean, std = x.mean(dim=0), x.std(dim=0, correction=0)
    varies = std > len(x) * torch.finfo(std.dtype).eps * mean.abs()  # more than rounding of the mean would
    std = torch.where(varies, std, torch.ones_like(std))
    present, y = torch.unique(train_y, return_inverse=True)
    solution = logistic_regression((x - mean) / std, y, len(present))
    scores = ((test_x.double() - mean) / std) @ solution[:, :-1].T + solution[:, -1]  # (N, K)
    return 100 * float((present[scores.argmax(dim=1)] == test_y).double().mean())
