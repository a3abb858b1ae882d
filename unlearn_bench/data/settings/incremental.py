"""Incremental learning, read backwards: the forget set are the classes that are learned last."""

from __future__ import annotations

from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data.settings import setting
from unlearn_bench.data.settings.classes import class_unlearning


@setting(
    name="incremental",
    label="Incremental learning",
    source="Seo, Kim and Han, section 3.1, figure 1",
    names_classes=True,
)
def incremental(dataset: Dataset, forget: str) -> ForgetSplit:
    """The named classes are D_new: θ_old is the retrained model, which never saw them, and θ_new the original one.

    The division is that of class unlearning, and so are the two models: what the setting names is the other direction.

    Raises:
        DataError: see :func:`class_unlearning`.
    """
    return class_unlearning(dataset, forget)
