"""What a forget set is: a function from a data set and the user's words to a :class:`ForgetSplit`, one file each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.errors import DataError
from unlearn_bench.options import complete
from unlearn_bench.registry import Entry, Registry


@dataclass(frozen=True)
class Setting(Entry):
    """A registered setting: a function (data set, forget set as the user spells it, *, options).

    Attributes:
        changes_images: whether D itself depends on the forget set, and with it the original model.
    """

    changes_images: bool = False


settings: Registry[Setting] = Registry("setting", __name__)


def setting(
    *, name: str, label: str, source: str, changes_images: bool = False
) -> Callable[[Callable[..., ForgetSplit]], Callable[..., ForgetSplit]]:
    """Registers a setting. Its name is given: the field's word for the first one, ``class``, names no function."""

    def register(function: Callable[..., ForgetSplit]) -> Callable[..., ForgetSplit]:
        settings.add(Setting(name, label, source, function, changes_images))
        return function

    return register


def divide(dataset: Dataset, name: str, forget: str, options: Mapping[str, Any]) -> ForgetSplit:
    """Returns the data set divided by a forget set of the setting of that name.

    Raises:
        UnknownNameError, OptionError, DataError: a setting, an option or a forget set that does not exist.
    """
    entry = settings.get(name)
    split: ForgetSplit = entry.function(dataset, forget, **complete(entry.function, options, f"setting '{name}'"))
    return split


def tested(dataset: Dataset, is_forget: Tensor, forget: str) -> Tensor:
    """Returns ``is_forget``, (N_test,) bool, on the CPU.

    Raises:
        DataError: there are test images, and none of them is of the forget set.
    """
    is_forget = is_forget.cpu()
    if len(is_forget) and not bool(is_forget.any()):
        raise DataError(
            f"The forget set '{forget}' has no test image in {dataset.name}: nothing could be measured. Choose another."
        )
    return is_forget


def members(labels: Tensor, chosen: Sequence[int]) -> Tensor:
    """Returns (N,) bool, on the CPU: whether each label is one of the chosen."""
    return torch.isin(labels.cpu(), torch.tensor(chosen))
