"""Incremental learning in reverse: the forget set consists of the classes that are learned last."""

from __future__ import annotations

from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data.scenarios import scenario
from unlearn_bench.data.scenarios.classes import class_unlearning


@scenario(
    name="incremental",
    label="Incremental learning",
    source="Seo, Kim and Han, section 3.1, figure 1",
    names_classes=True,
)
def incremental(dataset: Dataset, forget: str) -> ForgetSplit:
    """All images of the named classes, which are D_new: θ_old is the retrained model, and θ_new is the original model.

    Forget set, retain set and both models are those of class unlearning. The scenario reads them in the other
    direction: θ_old never saw D_new, and θ_new learned it.

    Raises:
        DataError: see :func:`class_unlearning`.
    """
    return class_unlearning(dataset, forget)
