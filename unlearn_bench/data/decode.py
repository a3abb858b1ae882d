"""Decodes image files of one size to pixels, with Pillow and several threads."""

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

from unlearn_bench.core.errors import DataError
from unlearn_bench.core.progress import Progress
from unlearn_bench.data import Pixels

T = TypeVar("T")
# what Pillow's readers raise on broken files: it depends on the library that reads the format
BROKEN = (
    *(OSError, SyntaxError, ValueError, TypeError, EOFError, IndexError, KeyError, OverflowError, ZeroDivisionError),
    *(struct.error, zlib.error, RuntimeError, NotImplementedError, Image.DecompressionBombError),
)
# formats that Pillow reads without another program: for EPS it would start Ghostscript
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "TGA")
MOST_PIXELS = 2**24  # in an image: far more than any classifier here accepts
DEEP_GREY = ("I;16", "I;16L", "I;16B", "I;16N")  # 16 bits per pixel


def decode(
    sources: Sequence[T], read: Callable[[T], bytes], name: Callable[[int], str], progress: Progress, task: str
) -> Pixels:
    """Returns the images as pixels, in the order of ``sources``.

    If all images are grey (8 or 16 bits), they keep one channel; if any image has colour, all become RGB. Of 16 bits,
    the upper 8 are kept.

    Args:
        sources: arguments of ``read``, one per image.
        read: returns the bytes of one image file.
        name: returns the name of the image at a position, for messages.
        progress, task: ``progress`` is called with ``task`` and the number of decoded images.

    Returns:
        (N, C, H, W) uint8, C = 1 or 3.

    Raises:
        DataError: Pillow cannot read an image, an image differs in size from the first one, or all images together do
            not fit into the machine's memory.
    """
    grey: list[bool] = []
    images: list[Pixels] = []

    def decode_at(position: int) -> tuple[Pixels, bool]:
        try:
            with Image.open(io.BytesIO(read(sources[position])), formats=FORMATS) as image:
                _check_size(image)
                return _rgb(image), image.mode in ("1", "L", *DEEP_GREY)
        except BROKEN as problem:
            # Pillow's message for an unknown format contains only the address of an object
            reason = "its format is unknown" if isinstance(problem, UnidentifiedImageError) else problem
            raise DataError(f"{name(position)} cannot be read as an image: {reason}. Remove or replace it.") from None

    _check_memory(decode_at(0)[0], len(sources))
    with ThreadPoolExecutor() as pool:  # Pillow releases Python's lock while it decodes
        for position, (image, is_grey) in enumerate(pool.map(decode_at, range(len(sources)), chunksize=256)):
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
    """Checks an image before it is decoded. Raises ValueError if it would take gigabytes of memory or has no pixels."""
    if not 0 < image.width * image.height <= MOST_PIXELS:
        raise ValueError(f"it has {image.width}×{image.height} pixels, expected 1 to {MOST_PIXELS:,}")


def _check_memory(image: Pixels, count: int) -> None:
    """Raises DataError if ``count`` images of this size exceed the memory; does nothing if its size is unknown."""
    if not hasattr(os, "sysconf"):
        return
    needed, available = image.nbytes * count, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > available:
        raise DataError(
            f"{count:,} images of {image.shape[1]}×{image.shape[0]} pixels take {needed / 2**30:,.0f} GiB, and this "
            f"machine has {available / 2**30:,.0f} GiB of memory. Resize the images or use fewer."
        )


def _rgb(image: Image.Image) -> Pixels:
    """Returns (H, W, 3) uint8. Raises ValueError if the pixels' range is unknown: Pillow would clip them to 0 … 255."""
    if image.mode in ("I", "F"):
        raise ValueError(
            f"its pixels are 32-bit numbers (mode {image.mode}) of unknown range; save it with 8 or 16 bits"
        )
    if image.mode in DEEP_GREY:
        grey = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    opaque = image.convert("RGBA") if "transparency" in image.info else image  # Pillow warns otherwise
    return np.asarray(opaque.convert("RGB"))
