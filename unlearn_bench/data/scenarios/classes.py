"""Class unlearning: the forget set consists of all training images of one class or of several."""

from __future__ import annotations

import torch

from unlearn_bench.core.errors import DataError
from unlearn_bench.core.forget_words import class_labels
from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data.scenarios import label_mask, scenario, test_mask


@scenario(name="class", label="Class unlearning", source="Seo, Kim and Han, section 2.2", names_classes=True)
def class_unlearning(dataset: Dataset, forget: str) -> ForgetSplit:
    """All images of the named classes: ``3``, ``cat`` or ``3,5``.

    Raises:
        DataError: see :func:`unlearn_bench.core.forget_words.class_labels`, or fewer than two classes remain.
    """
    labels = class_labels(forget, dataset.classes, dataset.name)
    if len(labels) > len(dataset.classes) - 2:
        raise DataError(
            f"The forget set '{forget}' leaves {len(dataset.classes) - len(labels)} of {len(dataset.classes)} classes, "
            "expected at least 2. Forget fewer classes."
        )
    test_forget = test_mask(dataset, label_mask(dataset.test.labels, labels), forget)
    return ForgetSplit(
        name=",".join(str(label) for label in labels),
        forget=torch.nonzero(label_mask(dataset.train.labels, labels))[:, 0],
        test_forget=test_forget,
        test_retain=~test_forget,
        classes=tuple(labels),
        train=dataset.train,
    )
