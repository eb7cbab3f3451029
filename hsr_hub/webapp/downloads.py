"""Copies of a result in other formats, or without the place where the photo was taken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from hsr_hub.images import ImageError, read_image, write_image
from hsr_hub.webapp.limits import FILE_OVERHEAD

FORMATS = {"PNG": ".png", "JPEG": ".jpg", "WebP": ".webp"}
QUALITY = {"JPEG": 92, "WebP": 90}


def copy_of(result: Path, output_format: Any, without_location: bool) -> Path:
    """Return where the copy of a result is, or will be. All copies have the result's name.

    Args:
        result: The result as PNG.
        output_format: A key of `FORMATS`. A browser can send anything.
        without_location: Whether the place where the photo was taken is left out.

    Raises:
        ImageError: There is no such format.
    """
    if not isinstance(output_format, str) or output_format not in FORMATS:
        raise ImageError(f"choose {', '.join(FORMATS)}")
    folder = result.parent / "no-location" if without_location else result.parent
    return (folder / result.name).with_suffix(FORMATS[output_format])


def copy_bytes(result: Path, size: tuple[int, int]) -> int:
    """Return the most that a copy of a result of that size takes on the disk."""
    return 3 * size[0] * size[1] + result.stat().st_size + FILE_OVERHEAD


def write_copy(result: Path, copy: Path, output_format: str, without_location: bool) -> None:
    """Write the copy that `copy_of` names, unless it was written while this one waited.

    Raises:
        ImageError: The format cannot hold the image.
    """
    if copy.exists():
        return
    copy.parent.mkdir(exist_ok=True)
    image = read_image(result)
    if without_location:
        image = replace(image, metadata=image.metadata.without_location())
    write_image(image, copy, quality=QUALITY.get(output_format))
