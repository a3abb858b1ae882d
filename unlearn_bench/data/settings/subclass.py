"""Subclass unlearning: the forget set is a finer class within a class that the model goes on to know."""

from __future__ import annotations

import torch

from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data.settings import members, setting, tested
from unlearn_bench.errors import DataError
from unlearn_bench.spec import class_labels


@setting(name="subclass", label="Subclass unlearning", source="Seo, Kim and Han, section 5.2", names_classes=True)
def subclass(dataset: Dataset, forget: str) -> ForgetSplit:
    """Every image of the named finer classes: ``lamp``, ``40``, or several with commas between.

    No class of the model is forgotten as a whole. Where a method needs a label to forget, as MUDA's self-distillation
    does, it is each sample's own.

    Raises:
        DataError: the data set has no finer labels, no such finer class, or a class would be forgotten as a whole.
    """
    if dataset.train.fine is None or dataset.test.fine is None:
        raise DataError(
            f"The data set {dataset.name} has no finer labels, which the setting 'subclass' needs. Use cifar20 or "
            "digit_pairs."
        )
    chosen = class_labels(forget, dataset.fine_classes, dataset.name)
    is_forget = members(dataset.train.fine, chosen)
    left = set(dataset.train.labels.cpu()[~is_forget].tolist())
    if len(left) < len(dataset.classes):
        gone = next(name for label, name in enumerate(dataset.classes) if label not in left)
        raise DataError(f"The forget set '{forget}' leaves nothing of the class '{gone}'. Use the setting 'class'.")
    is_tested = tested(dataset, members(dataset.test.fine, chosen), forget)
    return ForgetSplit(
        name=",".join(dataset.fine_classes[label] for label in chosen),
        forget=torch.nonzero(is_forget)[:, 0],
        test_forget=is_tested,
        test_retain=~is_tested,
        classes=(),
        train=dataset.train,
    )
