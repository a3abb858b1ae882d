"""Dimensional alignment of the forget set's features with the retain set's."""

from __future__ import annotations

from unlearn_bench.kernels import dimensional_alignment, principal_subspace
from unlearn_bench.metrics import metric
from unlearn_bench.outputs import ModelOutputs


@metric(label="DA", bounds=(0, 1), better="higher", source="Seo, Kim and Han, equation 1")
def da(outputs: ModelOutputs) -> float:
    """DA(D_f | D_r) of training features, in float64: how far the forget set lies in the retain set's main subspace."""
    subspace = principal_subspace(outputs.retain.features.double())
    return float(dimensional_alignment(outputs.forget.features.double(), subspace))
