"""Likeness of two models' features."""

from __future__ import annotations

import math

from unlearn_bench.core.errors import UnmeasurableError
from unlearn_bench.metrics.comparisons import comparison
from unlearn_bench.models.outputs import ModelOutputs, Outputs
from unlearn_bench.numerics.likeness import linear_cka

SOURCE = "Kornblith et al. 2019, section 3, in its form of d × d matrices"


@comparison(
    label="CKA(D_f)",
    bounds=(0, 1),
    best=1,
    source=SOURCE,
    reads="features",
    about="forget",
    shows="Whether the features arrange the forgotten images among each other as the retrained model's do. Cheats that "
    "change the head alone keep the original's value.",
    hides="Where the forgotten images lie among the others: of one class, it compares the scatter within that class "
    "alone. It ignores rotation and scale, and the head. No cheat of the head passes, as its value is the original's: "
    "compare with that.",
)
def cka_forget(outputs: ModelOutputs, retrained: ModelOutputs) -> float:
    """Linear centred kernel alignment of the two models' features of the training images of D_f, in float64.

    Raises:
        UnmeasurableError: a model gives all these images the same features, as it does if there is one image.

    Example:
        >>> import torch
        >>> part = Outputs(torch.eye(3), torch.eye(3), torch.tensor([0, 0, 0]))
        >>> outputs = ModelOutputs(part, part, part, part)
        >>> round(cka_forget(outputs, outputs), 6)
        1.0
    """
    return _alignment(outputs.forget, retrained.forget)


@comparison(
    label="CKA(D_r)",
    bounds=(0, 1),
    best=1,
    source=SOURCE,
    reads="features",
    about="retain",
    shows="Whether the features of new images of what is kept are those of the retrained model, but for rotation and "
    "scale.",
    hides="Whether anything is forgotten: the original's features, and those of every cheat, which are the same, can "
    "be as much alike as those of two retrained models.",
)
def cka_retain(outputs: ModelOutputs, retrained: ModelOutputs) -> float:
    """Linear centred kernel alignment of the two models' features of the test images of D_r, in float64.

    Raises:
        UnmeasurableError: a model gives all these images the same features, as it does if there is one image.

    Example:
        >>> import torch
        >>> part = Outputs(torch.eye(3), torch.eye(3), torch.tensor([0, 0, 0]))
        >>> outputs = ModelOutputs(part, part, part, part)
        >>> round(cka_retain(outputs, outputs), 6)
        1.0
    """
    return _alignment(outputs.test_retain, retrained.test_retain)


def _alignment(ours: Outputs, theirs: Outputs) -> float:
    value = float(linear_cka(ours.features.double(), theirs.features.double()))
    if math.isnan(value):
        raise UnmeasurableError("A model gives all images the same features, so that their alignment has no value.")
    return value
