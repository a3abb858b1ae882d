"""What a forget set is: a function from a data set and the user's words to a :class:`ForgetSplit`, one file each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.errors import DataError
from unlearn_bench.options import complete
from unlearn_bench.registry import Entry, Registry
from unlearn_bench.spec import THEN


@dataclass(frozen=True)
class Setting(Entry):
    """A registered setting: a function (data set, forget set as the user spells it, *, options).

    Attributes:
        changes_images: whether D itself depends on the forget set, and with it the original model.
        names_classes: whether forget sets with a comma between are one forget set.
    """

    changes_images: bool = False
    names_classes: bool = False


settings: Registry[Setting] = Registry("setting", __name__)


def setting(
    *, name: str, label: str, source: str, changes_images: bool = False, names_classes: bool = False
) -> Callable[[Callable[..., ForgetSplit]], Callable[..., ForgetSplit]]:
    """Registers a setting. Its name is given: the field's word for the first one, ``class``, names no function."""

    def register(function: Callable[..., ForgetSplit]) -> Callable[..., ForgetSplit]:
        settings.add(Setting(name, label, source, function, changes_images, names_classes))
        return function

    return register


def divide(dataset: Dataset, name: str, forget: str, options: Mapping[str, Any]) -> ForgetSplit:
    """Returns the data set divided by a forget set of the setting of that name.

    Of a sequence of requests (``1>3``) the forget set is all that was asked for so far.

    Raises:
        UnknownNameError, OptionError, DataError: a setting, an option or a forget set that does not exist.
    """
    entry = settings.get(name)
    stated = complete(entry.function, options, f"setting '{name}'")

    def divided(words: str) -> ForgetSplit:
        split: ForgetSplit = entry.function(dataset, words, **stated)
        return split

    *before, _ = requests = forget.split(THEN)
    if not before:
        return divided(forget)
    if entry.changes_images:
        raise DataError(
            f"The setting '{name}' puts each forget set into the training images, and '{forget}' is a sequence of "
            "them. Give one forget set."
        )
    parts = [divided(words) for words in requests]
    earlier = torch.cat([part.forget for part in parts[:-1]]).unique()
    everything = torch.cat([earlier, parts[-1].forget]).unique()
    if len(everything) == len(earlier):
        raise DataError(f"The last request of '{forget}' asks for nothing that is not forgotten by then. Leave it out.")
    if len(everything) == len(dataset.train):
        raise DataError(f"The sequence '{forget}' leaves no image. Leave a request out.")
    named = dict.fromkeys(each for part in parts for each in part.name.split(","))  # requests may share a class
    whole = divided(",".join(named)) if entry.names_classes else replace(parts[-1], forget=everything)
    return replace(whole, name=THEN.join(part.name for part in parts), earlier=earlier)


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
