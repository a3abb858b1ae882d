"""Class unlearning: the forget set is every training image of one class, or of several."""

from __future__ import annotations

import torch

from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data.settings import setting
from unlearn_bench.errors import DataError, did_you_mean


@setting(name="class", label="Class unlearning", source="Seo, Kim and Han, section 2.2")
def class_unlearning(dataset: Dataset, forget: str) -> ForgetSplit:
    """Every image of the named classes: ``3``, ``cat`` or ``3,5``.

    Raises:
        DataError: no such class, a class named twice, or no class left to retain.
    """
    labels = [_label(dataset, word.strip()) for word in forget.split(",")]
    if len(set(labels)) < len(labels):
        raise DataError(f"The forget set '{forget}' names a class twice. Name each once.")
    if len(labels) > len(dataset.classes) - 2:
        raise DataError(
            f"The forget set '{forget}' leaves {len(dataset.classes) - len(labels)} of {len(dataset.classes)} classes, "
            "expected at least 2. Forget fewer classes."
        )
    chosen = torch.tensor(sorted(labels))
    return ForgetSplit(
        name=",".join(str(label) for label in sorted(labels)),
        forget=torch.nonzero(torch.isin(dataset.train.labels.cpu(), chosen))[:, 0],
        test_forget=torch.isin(dataset.test.labels.cpu(), chosen),
        classes=tuple(sorted(labels)),
    )


def _label(dataset: Dataset, word: str) -> int:
    if word.isdecimal() and int(word) < len(dataset.classes):
        return int(word)
    if word in dataset.classes:
        return dataset.classes.index(word)
    raise DataError(
        f"Class '{word}' is not in {dataset.name}: expected 0 to {len(dataset.classes) - 1} or a name of "
        f"{', '.join(dataset.classes[:10])}{', …' if len(dataset.classes) > 10 else ''}."
        f"{did_you_mean(word, dataset.classes)}"
    )
