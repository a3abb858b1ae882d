"""Image files to pixels: the usual formats by Pillow, several threads, one size for all."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from unlearn_bench.data import Pixels
from unlearn_bench.errors import DataError
from unlearn_bench.progress import Progress

T = TypeVar("T")
# what Pillow's readers raise on broken files, by what their formats are read with
BROKEN = (
    *(OSError, SyntaxError, ValueError, TypeError, EOFError, IndexError, KeyError, OverflowError, ZeroDivisionError),
    *(struct.error, zlib.error, RuntimeError, NotImplementedError, Image.DecompressionBombError),
)
# those that Pillow reads by itself: for EPS it would start Ghostscript
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "TGA")
MOST_PIXELS = 2**24  # of an image: far more than any classifier here takes
DEEP_GREY = ("I;16", "I;16L", "I;16B", "I;16N")  # 16 bits a pixel


def decode(
    sources: Sequence[T], read: Callable[[T], bytes], name: Callable[[int], str], progress: Progress, task: str
) -> Pixels:
    """Returns the images as pixels, in the order of ``sources``.

    Grey images (8 or 16 bits throughout) keep one channel; if any image has colour, all become RGB. Of 16 bits, the
    upper 8 are kept.

    Args:
        sources: what ``read`` takes.
        read: returns the bytes of one image file.
        name: names the image at a position, for messages.
        progress, task: told how many are decoded.

    Returns:
        (N, C, H, W) uint8, C = 1 or 3.

    Raises:
        DataError: an image that Pillow cannot read, one whose size differs from the first one's, or more pixels in all
            than the machine's memory holds.
    """
    grey: list[bool] = []
    images: list[Pixels] = []

    def one(position: int) -> tuple[Pixels, bool]:
        try:
            with Image.open(io.BytesIO(read(sources[position])), formats=FORMATS) as image:
                _check_size(image)
                return _rgb(image), image.mode in ("1", "L", *DEEP_GREY)
        except BROKEN as problem:
            # Pillow's own text for an unknown format names nothing but an object in memory
            reason = "no format that Pillow knows" if isinstance(problem, UnidentifiedImageError) else problem
            raise DataError(
                f"{name(position)} is not an image that can be read: {reason}. Remove or replace it."
            ) from None

    _check_memory(one(0)[0], len(sources))
    with ThreadPoolExecutor() as pool:  # Pillow decodes outside Python's lock
        for position, (image, is_grey) in enumerate(pool.map(one, range(len(sources)), chunksize=256)):
            if images and image.shape != images[0].shape:
                height, width = images[0].shape[:2]
                raise DataError(
                    f"{name(position)} has {image.shape[1]}×{image.shape[0]} pixels, expected {width}×{height} "
                    f"as {name(0)} has. Resize the images to one size first."
                )
            images.append(image)
            grey.append(is_grey)
            if position % 512 == 0:
                progress(task, position, len(sources))
    progress(task, len(sources), len(sources))
    pixels = np.stack(images).transpose(0, 3, 1, 2)  # (N, 3, H, W)
    return np.ascontiguousarray(pixels[:, :1] if all(grey) else pixels)


def _check_size(image: Image.Image) -> None:
    """Checks an image before it is decoded. Raises ValueError for one that would take gigabytes, or no pixel at all."""
    if not 0 < image.width * image.height <= MOST_PIXELS:
        raise ValueError(f"it has {image.width}×{image.height} pixels, expected 1 to {MOST_PIXELS:,}")


def _check_memory(image: Pixels, count: int) -> None:
    """Raises DataError where so many images of that size are more than the memory; nothing where that is not told."""
    if not hasattr(os, "sysconf"):
        return
    needed, there = image.nbytes * count, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise DataError(
            f"{count:,} images of {image.shape[1]}×{image.shape[0]} pixels take {needed / 2**30:,.0f} GiB, and this "
            f"machine has {there / 2**30:,.0f} GiB of memory. Resize them, or give fewer."
        )


def _rgb(image: Image.Image) -> Pixels:
    """Returns (H, W, 3) uint8. Raises ValueError for pixels of unknown range, which Pillow would clip to 0 and 255."""
    if image.mode in ("I", "F"):
        raise ValueError(
            f"its pixels are 32-bit numbers (mode {image.mode}) of no known range; save it with 8 or 16 bits"
        )
    if image.mode in DEEP_GREY:
        grey = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    opaque = image.convert("RGBA") if "transparency" in image.info else image  # Pillow warns otherwise
    return np.asarray(opaque.convert("RGB"))
