"""Class unlearning: the forget set is every training image of one class, or of several."""

from __future__ import annotations

import torch

from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data.settings import members, setting, tested
from unlearn_bench.errors import DataError
from unlearn_bench.spec import class_labels


@setting(name="class", label="Class unlearning", source="Seo, Kim and Han, section 2.2", names_classes=True)
def class_unlearning(dataset: Dataset, forget: str) -> ForgetSplit:
    """Every image of the named classes: ``3``, ``cat`` or ``3,5``.

    Raises:
        DataError: see :func:`unlearn_bench.spec.class_labels`, or fewer than two classes are left to retain.
    """
    labels = class_labels(forget, dataset.classes, dataset.name)
    if len(labels) > len(dataset.classes) - 2:
        raise DataError(
            f"The forget set '{forget}' leaves {len(dataset.classes) - len(labels)} of {len(dataset.classes)} classes, "
            "expected at least 2. Forget fewer classes."
        )
    is_tested = tested(dataset, members(dataset.test.labels, labels), forget)
    return ForgetSplit(
        name=",".join(str(label) for label in labels),
        forget=torch.nonzero(members(dataset.train.labels, labels))[:, 0],
        test_forget=is_tested,
        test_retain=~is_tested,
        classes=tuple(labels),
        train=dataset.train,
    )
