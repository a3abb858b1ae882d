"""Decodes image files to pixels of one size, with Pillow and several threads."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from unlearn_bench.core.errors import DataError, reason_of
from unlearn_bench.core.memory import available_memory, in_gib
from unlearn_bench.core.progress import Progress
from unlearn_bench.core.sources import Reading
from unlearn_bench.data import Pixels

T = TypeVar("T")
Decoded = tuple[Pixels, bool]  # an image, (H, W, 3) uint8, and whether it is grey
# what Pillow's readers raise on broken files: it depends on the library that reads the format
BROKEN = (
    *(OSError, SyntaxError, ValueError, TypeError, EOFError, IndexError, KeyError, OverflowError, ZeroDivisionError),
    *(struct.error, zlib.error, RuntimeError, NotImplementedError, Image.DecompressionBombError),
)
# formats that Pillow reads without another program: for EPS it would start Ghostscript
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "TGA")
MOST_PIXELS = 2**24  # in an image that is not resized: far more than any classifier here accepts
MOST_PIXELS_RESIZED = 2**26  # a photo of 64 megapixels, which takes 0.2 GB while it is resized
DEEP_GREY = ("I;16", "I;16L", "I;16B", "I;16N")  # 16 bits per pixel
TOGETHER = 512  # images that are decoded before any of them is stored
TOGETHER_BYTES = 2**28  # of these images, which limits the memory that they take
NAMED = 10  # files in a message


def decode(
    sources: Sequence[T],
    read: Callable[[T], bytes],
    name: Callable[[int], str],
    progress: Progress,
    task: str,
    *,
    reading: Reading | None = None,
) -> Pixels:
    """Returns the images as pixels, in the order of ``sources``.

    If all images are grey (8 or 16 bits), they keep one channel; if any image has colour, all become RGB. Of 16 bits,
    the upper 8 are kept.

    Args:
        sources: arguments of ``read``, one per image.
        read: returns the bytes of one image file.
        name: returns the name of the image at a position, for messages.
        progress, task: ``progress`` is called with ``task`` and the number of decoded images.
        reading: for a user's own images: they are turned as their EXIF data says, and resized. None for images as they
            are stored.

    Returns:
        (N, C, H, W) uint8, C = 1 or 3.

    Raises:
        DataError: Pillow cannot read some images (one error names them all), images differ in size, or all images
            together do not fit into the machine's memory.
    """

    def decode_at(position: int) -> Decoded | str:
        try:
            return _decoded(read(sources[position]), reading)
        except BROKEN as problem:
            return why_unreadable(problem)

    with ThreadPoolExecutor() as pool:  # Pillow releases Python's lock while it decodes
        return assemble(
            len(sources),
            lambda positions: pool.map(decode_at, positions),
            name,
            lambda done: progress(task, done, len(sources)),
            can_resize=reading is not None,
        )


def assemble(
    count: int,
    images: Callable[[range], Iterable[Decoded | str]],
    name: Callable[[int], str],
    progress: Callable[[int], None],
    *,
    can_resize: bool,
) -> Pixels:
    """Returns ``count`` images in one array, as :func:`decode` does.

    Args:
        count: number of images.
        images: returns the images at these positions; instead of an image that cannot be read, the reason.
        name: returns the name of the image at a position, for messages.
        progress: called with the number of images so far.
        can_resize: whether the user can have the images resized, for messages.

    Raises:
        DataError: see :func:`decode`.
    """
    broken: dict[int, str] = {}
    sizes: dict[tuple[int, ...], int] = {}  # (H, W) to the position of the first image of that size
    is_grey = True
    pixels: Pixels | None = None
    start, together = 0, 1  # the first image alone, because it says how many fit into memory together
    while start < count:
        progress(start)
        positions = range(start, min(start + together, count))
        start = positions.stop
        for position, image in zip(positions, images(positions), strict=True):
            if isinstance(image, str):
                broken[position] = image
                continue
            sizes.setdefault(image[0].shape[:2], position)
            if pixels is None:
                pixels = _room(count, *image[0].shape[:2], can_resize=can_resize)
                together = max(1, min(TOGETHER, TOGETHER_BYTES // image[0].nbytes))
            if len(sizes) == 1:
                pixels[position] = image[0].transpose(2, 0, 1)
            is_grey &= image[1]
    progress(count)
    if broken or pixels is None:
        raise DataError(_broken(broken, name))
    if len(sizes) > 1:
        raise DataError(_different(sizes, name, can_resize=can_resize))
    return np.ascontiguousarray(pixels[:, :1]) if is_grey else pixels


def to_pixels(image: Image.Image, reading: Reading) -> Decoded:
    """Returns an image as (H, W, 3) uint8, turned and resized, and whether it is grey.

    Raises:
        one of BROKEN: the image is damaged, too large, or its pixels have an unknown range.
    """
    _check_size(image, MOST_PIXELS if reading.size is None else MOST_PIXELS_RESIZED, can_resize=reading.size is None)
    image.load()
    with contextlib.suppress(*BROKEN):  # EXIF data that cannot be read does not turn the image
        image = ImageOps.exif_transpose(image)
    pixels = _rgb(image)
    if reading.size is not None:
        side = (reading.size, reading.size)
        pixels = np.asarray(ImageOps.fit(Image.fromarray(pixels), side, Image.Resampling.BILINEAR))
    return pixels, _is_grey(image)


def why_unreadable(problem: Exception) -> str:
    """Returns why an image cannot be read, in some words."""
    if isinstance(problem, UnidentifiedImageError):
        return "its format is unknown"  # Pillow's message contains only the address of an object
    of_system = problem.strerror if isinstance(problem, OSError) else None
    return of_system or reason_of(problem)


def _decoded(content: bytes, reading: Reading | None) -> Decoded:
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        if reading is not None:
            return to_pixels(image, reading)
        _check_size(image, MOST_PIXELS)
        return _rgb(image), _is_grey(image)


def _is_grey(image: Image.Image) -> bool:
    return image.mode in ("1", "L", *DEEP_GREY)


def _check_size(image: Image.Image, most: int, *, can_resize: bool = False) -> None:
    """Checks an image before it is decoded. Raises ValueError if it would take gigabytes of memory or has no pixels."""
    if not 0 < image.width * image.height <= most:
        more = f" (with --size, {MOST_PIXELS_RESIZED:,})" if can_resize else ""
        raise ValueError(f"it has {image.width}×{image.height} pixels, expected 1 to {most:,}{more}")


def _room(count: int, height: int, width: int, *, can_resize: bool) -> Pixels:
    """Returns memory for the images. Raises DataError if they and their sorted copy exceed what is available."""
    needed, available = count * height * width * 3, available_memory()
    if available is not None and 2 * needed > available:
        remedy = "Give a smaller --size, such as --size 64" if can_resize else "Resize the images"
        raise DataError(
            f"{count:,} images of {width}×{height} pixels take {in_gib(needed)}, twice while they are sorted, and "
            f"{in_gib(available)} of memory are available. {remedy}, or use fewer images."
        )
    return np.empty((count, 3, height, width), dtype=np.uint8)


def _broken(broken: Mapping[int, str], name: Callable[[int], str]) -> str:
    if not broken:
        return "There are no images. Add some."
    if len(broken) == 1:
        ((position, reason),) = broken.items()
        return f"{name(position)} cannot be read as an image: {reason}. Remove or replace it."
    named = "; ".join(f"{name(position)}: {reason}" for position, reason in list(broken.items())[:NAMED])
    more = "; …" if len(broken) > NAMED else ""
    return f"{len(broken):,} files cannot be read as images: {named}{more}. Remove or replace them."


def _different(sizes: Mapping[tuple[int, ...], int], name: Callable[[int], str], *, can_resize: bool) -> str:
    (first, position), (other, other_position) = list(sizes.items())[:2]
    side = min(64, *(side for size in sizes for side in size))
    remedy = (
        f"Give --size, such as --size {side}: the shorter side is resized to that many pixels and the centre square is "
        "kept."
        if can_resize
        else "Resize the images to one size first."
    )
    return (
        f"{name(other_position)} has {other[1]}×{other[0]} pixels, expected {first[1]}×{first[0]} as {name(position)} "
        f"has; the images have {len(sizes):,} sizes. {remedy}"
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
