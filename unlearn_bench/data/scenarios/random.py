"""Random unlearning: the forget set is a random subset of the training images."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from unlearn_bench.core.errors import DataError
from unlearn_bench.core.forget_words import random_subset
from unlearn_bench.core.spec import digest_of
from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data.scenarios import scenario


@scenario(
    name="random",
    label="Random samples",
    source="Seo, Kim and Han, appendix D.1",
    untunable="held-out samples of D_f and of D'_r have one distribution, and the method sees neither",
)
def random_samples(
    dataset: Dataset,
    forget: str,
    *,
    stratified: Annotated[bool, Field(description="whether every class contributes the same share")] = False,
) -> ForgetSplit:
    """A random share (``10%``) or number (``500``) of the training images; ``10%#2`` is another draw than ``10%``.

    The forget set has no test images of its own: for D_f and for D_r, the test images are all test images.

    Raises:
        DataError: ``forget`` is neither, or the subset is empty or contains every image.
    """
    name, size = random_subset(forget), len(dataset.train)
    amount = name.split("#")[0]
    wanted = round(size * float(amount[:-1]) / 100) if amount.endswith("%") else int(amount)
    if not 0 < wanted < size:
        raise DataError(
            f"The forget set '{forget}' is {wanted} of {size} images, expected at least one and not all. Choose "
            "another share or number."
        )
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
    """Returns an order of the labels in which every prefix contains each class in proportion to its size."""
    rank = torch.zeros(len(labels))
    for label in labels.unique():
        own = torch.nonzero(labels == label)[:, 0]
        rank[own] = (torch.arange(len(own)) + 0.5) / len(own)
    return rank.argsort(stable=True)
