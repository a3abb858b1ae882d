"""Dimensional alignment of the forget set's features with the retain set's."""

from __future__ import annotations

from unlearn_bench.kernels import dimensional_alignment, principal_subspace
from unlearn_bench.metrics import metric
from unlearn_bench.outputs import ModelOutputs


@metric(
    label="DA",
    bounds=(0, 1),
    better="higher",
    source="Seo, Kim and Han, equation 1",
    reads="features",
    about="forget",
    shows="Whether forgotten samples still have directions of their own in feature space: they do "
    "while it stays at the original's value.",
    hides="How they are spread within the retained samples' subspace: two models of one DA may "
    "separate them differently.",
    alone="The original's value is where nothing has moved, 1 is the most there is; where retraining "
    "lies between them is not known.",
)
def da(outputs: ModelOutputs) -> float:
    """DA(D_f | D_r) of training features, in float64: how far the forget set lies in the retain set's main subspace."""
    subspace = principal_subspace(outputs.retain.features.double())
    return float(dimensional_alignment(outputs.forget.features.double(), subspace))
