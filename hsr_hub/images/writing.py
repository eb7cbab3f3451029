"""Write image files, each completely or not at all."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from hsr_hub.images import sixteen_bit
from hsr_hub.images.atomic import atomic_write
from hsr_hub.images.errors import ImageError, ImageWarning
from hsr_hub.images.formats import FORMATS, ImageFormat, choose_format
from hsr_hub.images.image_data import ImageData, to_image
from hsr_hub.images.metadata import Metadata
from hsr_hub.images.modes import to_eight_bits, to_palette
from hsr_hub.images.tiff import write_tiff

MAX_NAME_BYTES = 255
"""Longest file name of common file systems."""


def write_image(
    image: ImageData,
    path: Path,
    *,
    format: str | None = None,
    quality: int | None = None,
    name: str | None = None,
) -> tuple[str, ...]:
    """Write an image with its metadata.

    16-bit images keep 16 bits in PNG and TIFF and are rounded to 8 bits in other formats. JPEG and
    BMP have no transparency, so the image is drawn on white.

    Args:
        image: The image.
        path: The output file.
        format: A key of `WRITE_FORMATS`; by default the path's suffix.
        quality: 1 to 100 for JPEG, WebP (lossless without it) and AVIF; ignored by other formats.
        name: Name of the file in errors; by default the path.

    Returns:
        Sentences about metadata that the format cannot hold; `ImageWarning` has the same.

    Raises:
        ImageError: The format is unknown, or the file cannot be written.

    Warns:
        ImageWarning: The format cannot hold some of the metadata.
    """
    chosen = FORMATS[choose_format(path, format)]
    metadata, lost = image.metadata.fit(chosen)
    with write_errors(name or str(path)), atomic_write(path) as temporary:
        write_array(image.array, metadata, temporary, chosen, quality)
    notes = write_notes(path, chosen, lost, grey=image.grey)
    for note in notes:
        warnings.warn(note, ImageWarning, stacklevel=2)
    return notes


def save_pil(
    image: Image.Image, path: Path, *, format: str | None = None, quality: int | None = None
) -> None:
    """Write a Pillow image with the metadata in its `info`; see `write_image`."""
    write_image(ImageData.from_image(image), path, format=format, quality=quality)


def check_target(path: Path, size: tuple[int, int]) -> None:
    """Raise if an image of this size cannot be written under this name.

    Args:
        path: The output file.
        size: (width, height) of the image.

    Raises:
        ImageError: The format is unknown, or it or the name has a limit that is exceeded.
    """
    chosen = FORMATS[choose_format(path)]
    if chosen.max_side and max(size) > chosen.max_side:
        raise ImageError(
            f"{path}: {chosen.label} holds up to {chosen.max_side} pixels a side, and the result "
            f"has {size[0]}x{size[1]}: choose PNG, or a smaller size"
        )
    length = len(os.fsencode(path.name))
    if length > MAX_NAME_BYTES:
        raise ImageError(
            f"{path.name}: the name of the result has {length} bytes, more than {MAX_NAME_BYTES}: "
            "rename the image, or use --keep-names"
        )


def prepare_folder(path: Path) -> None:
    """Make the folder of an output file, and check that it is writable.

    Raises:
        ImageError: The folder cannot be made or is not writable.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"the folder of {path} cannot be made: {error}") from error
    if not os.access(path.parent, os.W_OK):
        raise ImageError(
            f"the folder of {path} is not writable: change its permissions or choose another"
        )


# Shared with `frame_writing.py`.


def write_array(
    array: np.ndarray, metadata: Metadata, path: Path, chosen: ImageFormat, quality: int | None
) -> None:
    """Write a file in place, with metadata that the format can hold."""
    if chosen.name == "TIFF":
        write_tiff([(array, metadata)], path)
    elif chosen.name == "PNG" and ImageData(array).sixteen_bit_colour:
        sixteen_bit.write_png(array, path, metadata)
    else:
        write_by_pillow(array, metadata, path, chosen, quality)


def write_by_pillow(
    array: np.ndarray,
    metadata: Metadata,
    file: Path | BinaryIO,
    chosen: ImageFormat,
    quality: int | None,
) -> None:
    """Write a file in place by Pillow, which all formats but TIFF and 16-bit colour need."""
    converted = to_image(ImageData(array))
    if not chosen.alpha and converted.mode in {"LA", "RGBA"}:
        white = Image.new("RGBA", converted.size, "white")
        flat = Image.alpha_composite(white, converted.convert("RGBA"))
        converted = flat.convert(converted.mode[:-1])
    if not chosen.sixteen_bit:
        converted = to_eight_bits(converted)
    if chosen.colours and converted.mode != "L":
        converted = to_palette(converted)
    options = {**chosen.save_settings(quality), **metadata.save_options(chosen)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about metadata
        converted.save(file, chosen.name, **options)


@contextmanager
def write_errors(name: str) -> Iterator[None]:
    """Raise `ImageError` for the errors of a writer; the name is that of the file."""
    try:
        yield
    except ImageError:
        raise
    except (OSError, ValueError) as error:  # ValueError: the image exceeds a limit of the format
        # The text of an OSError can have the path of a temporary file.
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{name} cannot be written: {reason}") from error


def write_notes(
    path: Path, chosen: ImageFormat, lost: Sequence[str], *, grey: bool
) -> tuple[str, ...]:
    """Return sentences about what a format cannot hold.

    Args:
        path: The output file.
        chosen: Its format.
        lost: Names of metadata that it cannot hold.
        grey: Whether the image is grey, so that a palette holds all of its values.
    """
    notes = []
    if chosen.colours and not grey:
        notes.append(
            f"{path.name}: its colours are reduced to the {chosen.colours} of a {chosen.label}"
        )
    if lost:
        notes.append(f"{path.name}: {chosen.label} cannot hold its {', '.join(lost)}")
    return tuple(notes)
