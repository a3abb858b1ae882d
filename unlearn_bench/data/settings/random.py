"""Random unlearning: the forget set is a random subset of the training images."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data.settings import setting
from unlearn_bench.errors import DataError
from unlearn_bench.spec import digest_of, random_subset


@setting(name="random", label="Random samples", source="Seo, Kim and Han, appendix D.1")
def random_samples(
    dataset: Dataset,
    forget: str,
    *,
    stratified: Annotated[bool, Field(description="whether every class gives the same share")] = False,
) -> ForgetSplit:
    """A random share (``10%``) or number (``500``) of the training images; ``10%#2`` is another draw than ``10%``.

    No test image belongs with such a forget set more than another: the test images of both sides are all there are.

    Raises:
        DataError: words that say neither, or a subset that is empty or leaves nothing.
    """
    name, size = random_subset(forget), len(dataset.train)
    amount = name.split("#")[0]
    wanted = round(size * float(amount[:-1]) / 100) if amount.endswith("%") else int(amount)
    if not 0 < wanted < size:
        raise DataError(f"The forget set '{forget}' is {wanted} of {size} images, expected at least one and not all.")
    seed = int(digest_of([dataset.digest, name, stratified])[:15], 16)
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
    if stratified:
        order = order[_spread(dataset.train.labels.cpu()[order])]
    everything = torch.ones(len(dataset.test), dtype=torch.bool)
    return ForgetSplit(
        name=name,
        forget=order[:wanted].sort().values,
        test_forget=everything,
        test_retain=everything,
        classes=(),
        train=dataset.train,
    )


def _spread(labels: torch.Tensor) -> torch.Tensor:
    """Returns an order of the labels in which any beginning holds each class in proportion to its size."""
    place = torch.zeros(len(labels))
    for label in labels.unique():
        own = torch.nonzero(labels == label)[:, 0]
        place[own] = (torch.arange(len(own)) + 0.5) / len(own)
    return place.argsort(stable=True)
