"""Backdoor unlearning: the forget set consists of training images with a trigger that have the label of a target."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from unlearn_bench.core.errors import DataError, OptionError
from unlearn_bench.core.forget_words import class_labels
from unlearn_bench.core.spec import digest_of
from unlearn_bench.data import Dataset, ForgetSplit, Images
from unlearn_bench.data.scenarios import scenario

Place = Literal["top_left", "top_right", "bottom_left", "bottom_right", "center"]


@scenario(
    name="backdoor",
    label="Backdoor unlearning",
    source="Seo, Kim and Han, section 5.3; after Gu et al. 2017, BadNets",
    changes_images=True,
)
def backdoor(
    dataset: Dataset,
    forget: str,
    *,
    size: Annotated[int, Field(ge=1, description="side of the patch in pixels; not stated in the paper")] = 3,
    place: Annotated[Place, Field(description="where the patch is drawn; not stated in the paper")] = "bottom_right",
    shade: Annotated[int, Field(ge=0, le=255, description="value of the patch's pixels; black in the paper")] = 0,
    rate: Annotated[float, Field(gt=0, lt=1, description="poisoned share of D; not stated in the paper")] = 0.05,
) -> ForgetSplit:
    """Training images of other classes with a patch and the target's label; the forget set is the name of the target.

    The patch is drawn on the uint8 pixels. A black patch is no trigger on images with a black background. Images,
    target and options determine which images are poisoned. The test images with the trigger keep their true labels; D_r
    and the clean test images do not change.

    Raises:
        DataError: the class does not exist, there is more than one, or there is no image to poison.
        OptionError: the patch does not fit the images.
    """
    labels = class_labels(forget, dataset.classes, dataset.name)
    if len(labels) > 1:
        raise DataError(f"The forget set '{forget}' names several targets, and a backdoor has one. Name one class.")
    (target,) = labels
    if size > min(dataset.train.pixels.shape[2:]):
        side = min(dataset.train.pixels.shape[2:])
        raise OptionError(
            f"Option 'size' of the scenario 'backdoor' is {size}, expected at most {side}, the side of the images."
        )
    others = torch.nonzero(dataset.train.labels.cpu() != target)[:, 0]
    wanted = round(rate * len(dataset.train))
    if not 0 < wanted < len(others):
        raise DataError(
            f"A rate of {rate:g} poisons {wanted} of {len(others)} images, expected at least one and not all. Choose "
            "another rate."
        )
    seed = int(digest_of([dataset.digest, target, size, place, shade, rate])[:15], 16)
    order = torch.randperm(len(others), generator=torch.Generator().manual_seed(seed))
    poisoned = others[order[:wanted]].sort().values
    pixels, new_labels = dataset.train.pixels.clone(), dataset.train.labels.clone()
    pixels[poisoned] = stamped(pixels[poisoned], size, place, shade)
    new_labels[poisoned] = target
    clean = torch.ones(len(dataset.test), dtype=torch.bool)
    return ForgetSplit(
        name=str(target),
        forget=poisoned,
        test_forget=~clean,
        test_retain=clean,
        classes=(),
        train=Images(pixels, new_labels, dataset.train.fine),
        triggered=Images(stamped(dataset.test.pixels, size, place, shade), dataset.test.labels, dataset.test.fine),
        target=target,
    )


def stamped(pixels: Tensor, size: int, place: Place, shade: int = 0) -> Tensor:
    """Returns the images, (N, C, H, W) uint8, with a patch of ``size``×``size`` pixels at ``place``."""
    height, width = pixels.shape[2:]
    top = {"top": 0, "bottom": height - size}.get(place.split("_")[0], (height - size) // 2)
    left = {"left": 0, "right": width - size}.get(place.split("_")[-1], (width - size) // 2)
    marked = pixels.clone()
    marked[:, :, top : top + size, left : left + size] = shade
    return marked
