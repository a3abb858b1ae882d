"""Subclass unlearning: the forget set is a finer class within a class that the model keeps."""

from __future__ import annotations

import torch

from unlearn_bench.core.errors import DataError
from unlearn_bench.core.forget_words import class_labels
from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data.scenarios import label_mask, scenario, test_mask


@scenario(
    name="subclass",
    label="Subclass unlearning",
    source="Seo, Kim and Han, section 5.2",
    names_classes=True,
    keeps_class=True,
)
def subclass(dataset: Dataset, forget: str) -> ForgetSplit:
    """All images of the named finer classes: ``lamp``, ``40``, or several separated by commas.

    No class of the model is forgotten completely. A method that needs a label to forget, such as MUDA for its
    self-distillation, takes each sample's own label.

    Raises:
        DataError: the data set has no finer labels or no such finer class, or a class would be forgotten completely.
    """
    if dataset.train.fine is None or dataset.test.fine is None:
        raise DataError(
            f"The data set {dataset.name} has no finer labels, which the scenario 'subclass' needs. Use cifar20 or "
            "digit_pairs."
        )
    chosen = class_labels(forget, dataset.fine_classes, dataset.name)
    is_forget = label_mask(dataset.train.fine, chosen)
    left = set(dataset.train.labels.cpu()[~is_forget].tolist())
    if len(left) < len(dataset.classes):
        gone = next(name for label, name in enumerate(dataset.classes) if label not in left)
        raise DataError(f"The forget set '{forget}' contains the whole class '{gone}'. Use the scenario 'class'.")
    test_forget = test_mask(dataset, label_mask(dataset.test.fine, chosen), forget)
    return ForgetSplit(
        name=",".join(dataset.fine_classes[label] for label in chosen),
        forget=torch.nonzero(is_forget)[:, 0],
        test_forget=test_forget,
        test_retain=~test_forget,
        classes=(),
        train=dataset.train,
    )
