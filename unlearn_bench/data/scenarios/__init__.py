"""Scenarios, one a file: functions from a data set and the spelling of a forget set to a :class:`ForgetSplit`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from unlearn_bench.core.errors import DataError
from unlearn_bench.core.forget_words import THEN
from unlearn_bench.core.options import complete
from unlearn_bench.core.registry import Entry, Registry
from unlearn_bench.data import Dataset, ForgetSplit


@dataclass(frozen=True)
class Scenario(Entry):
    """A registered scenario: a function (data set, spelling of a forget set, *, options).

    Attributes:
        changes_images: whether D, and with it the original model, depends on the forget set.
        names_classes: whether a forget set is a list of classes, with commas between them.
        keeps_class: whether the retrained model still predicts the labels of forgotten samples, as for a subclass.
        untunable: why the honest objective of ``tune`` cannot judge the scenario; empty if it can.
    """

    changes_images: bool = False
    names_classes: bool = False
    keeps_class: bool = False
    untunable: str = ""


scenarios: Registry[Scenario] = Registry("scenario", __name__)


def scenario(
    *,
    name: str,
    label: str,
    source: str,
    changes_images: bool = False,
    names_classes: bool = False,
    keeps_class: bool = False,
    untunable: str = "",
    version: int = 1,
) -> Callable[[Callable[..., ForgetSplit]], Callable[..., ForgetSplit]]:
    """Registers a scenario. It takes a name because the name of the first one, ``class``, is a keyword of Python."""

    def register(function: Callable[..., ForgetSplit]) -> Callable[..., ForgetSplit]:
        declared = (changes_images, names_classes, keeps_class, untunable)
        scenarios.add(Scenario(name, label, source, function, *declared, version=version))
        return function

    return register


def split_dataset(dataset: Dataset, name: str, forget: str, options: Mapping[str, Any]) -> ForgetSplit:
    """Returns the data set divided by a forget set of the scenario called ``name``.

    For a sequence of requests (``1>3``), the forget set is the union of all requests.

    Raises:
        UnknownNameError, OptionError, DataError: the scenario, an option or the forget set does not exist.
    """
    entry = scenarios.get(name)
    stated = complete(entry.function, options, f"scenario '{name}'")

    def divided(words: str) -> ForgetSplit:
        split: ForgetSplit = entry.function(dataset, words, **stated)
        return split if dataset.retain is None else replace(split, retain=dataset.retain)

    *before, _ = requests = forget.split(THEN)
    if not before:
        return divided(forget)
    if entry.changes_images:
        raise DataError(
            f"The scenario '{name}' changes the training images for each forget set and does not support the sequence "
            f"'{forget}'. Give one forget set."
        )
    parts = [divided(words) for words in requests]
    earlier = torch.cat([part.forget for part in parts[:-1]]).unique()
    everything = torch.cat([earlier, parts[-1].forget]).unique()
    if len(everything) == len(earlier):
        raise DataError(f"The last request of '{forget}' adds no images to the earlier ones. Remove it.")
    if len(everything) == len(dataset.train):
        raise DataError(f"The sequence '{forget}' forgets every training image. Remove a request.")
    classes = dict.fromkeys(label for part in parts for label in part.name.split(","))  # requests may share one
    whole = divided(",".join(classes)) if entry.names_classes else replace(parts[-1], forget=everything)
    return replace(whole, name=THEN.join(part.name for part in parts), earlier=earlier)


def test_mask(dataset: Dataset, is_forget: Tensor, forget: str) -> Tensor:
    """Returns ``is_forget``, (N_test,) bool, on the CPU.

    Raises:
        DataError: there are test images, and none of them corresponds to the forget set.
    """
    is_forget = is_forget.cpu()
    if len(is_forget) and not bool(is_forget.any()):
        raise DataError(
            f"The forget set '{forget}' has no test image in {dataset.name}, which metrics need. Choose another one."
        )
    return is_forget


def label_mask(labels: Tensor, chosen: Sequence[int]) -> Tensor:
    """Returns (N,) bool, on the CPU: whether each label is in ``chosen``."""
    return torch.isin(labels.cpu(), torch.tensor(chosen))
