"""Copies of a result in other formats, or without the place where the photo was taken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from hsr_hub.images import FORMATS, ImageError, read_image, write_image
from hsr_hub.webapp.limits import FILE_OVERHEAD

DOWNLOAD_FORMATS = {"PNG": None, "JPEG": 92, "WebP": 90}
"""Labels of the formats that the page offers, with the quality; None is lossless."""

SUFFIXES = {
    entry.label: f".{entry.suffixes[0]}"
    for entry in FORMATS.values()
    if entry.label in DOWNLOAD_FORMATS
}


def suffix_of(output_format: Any) -> str:
    """Return the suffix of a format that the page offers, with the dot.

    Args:
        output_format: A key of `DOWNLOAD_FORMATS`. A browser can send anything.

    Raises:
        ImageError: The page does not offer it.
    """
    if not isinstance(output_format, str) or output_format not in DOWNLOAD_FORMATS:
        raise ImageError(f"choose {', '.join(DOWNLOAD_FORMATS)}")
    return SUFFIXES[output_format]


def copy_of(result: Path, output_format: Any, without_location: bool) -> Path:
    """Return where the copy of a result is, or will be. All copies have the result's name.

    Args:
        result: The result as PNG.
        output_format: As for `suffix_of`.
        without_location: Whether the place where the photo was taken is left out.

    Raises:
        ImageError: There is no such format.
    """
    folder = result.parent / "no-location" if without_location else result.parent
    return (folder / result.name).with_suffix(suffix_of(output_format))


def copy_bytes(result: Path, size: tuple[int, int]) -> int:
    """Return the most that a copy of a result of that size takes on the disk."""
    return 3 * size[0] * size[1] + result.stat().st_size + FILE_OVERHEAD


def write_copy(
    result: Path, copy: Path, output_format: str, without_location: bool = False
) -> tuple[str, ...]:
    """Write a copy of a result, unless it was written while this one waited.

    Args:
        result: The result as PNG.
        copy: The new file, with the suffix of the format.
        output_format: A key of `DOWNLOAD_FORMATS`.
        without_location: Whether the place where the photo was taken is left out.

    Returns:
        Sentences about metadata that the format cannot hold.

    Raises:
        ImageError: The format cannot hold the image.
    """
    if copy.exists():
        return ()
    copy.parent.mkdir(exist_ok=True)
    image = read_image(result)
    if without_location:
        image = replace(image, metadata=image.metadata.without_location())
    return write_image(image, copy, quality=DOWNLOAD_FORMATS[output_format], name=copy.name)
