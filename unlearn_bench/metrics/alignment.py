"""Dimensional alignment of the forget set's features with the retain set's."""

from __future__ import annotations

from unlearn_bench.metrics import metric
from unlearn_bench.models.outputs import ModelOutputs
from unlearn_bench.numerics.kernels import dimensional_alignment, principal_subspace


@metric(
    label="DA",
    bounds=(0, 1),
    better="higher",
    source="Seo, Kim and Han, equation 1",
    reads="features",
    about="forget",
    shows="Whether forgotten samples still have directions of their own in feature space: they do "
    "while the value stays at the original's.",
    hides="How the forgotten samples are spread within the retained samples' subspace: two models of one DA may "
    "separate them differently.",
    without_reference="At the original's value nothing has changed, and 1 is the maximum; the value of a retrained "
    "model between them is unknown.",
)
def da(outputs: ModelOutputs) -> float:
    """DA(D_f | D_r) of training features, in float64: how far the forget set lies in the retain set's main subspace.

    Example:
        >>> import torch
        >>> from unlearn_bench.models.outputs import Outputs
        >>> retain, forget = (Outputs(axis[None], axis[None], torch.tensor([0])) for axis in torch.eye(2))
        >>> da(ModelOutputs(retain=retain, forget=forget, test_retain=retain, test_forget=forget))
        0.0
    """
    subspace = principal_subspace(outputs.retain.features.double())
    return float(dimensional_alignment(outputs.forget.features.double(), subspace))
