"""Tiles of before and after, so that a browser shows every pixel of a large result."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from PIL import Image

from hsr_hub.images import ImageData, to_eight_bits, to_image
from hsr_hub.webapp.previews import for_viewer

TILE = 512
"""Side in pixels."""


def save_tiles(before: ImageData, after: ImageData, folder: Path) -> Path:
    """Save all tiles as 8-bit PNGs, named `before-COLUMN-ROW.png` and `after-COLUMN-ROW.png`.

    Args:
        before: The source. Its tiles are enlarged with bicubic interpolation.
        after: The result.
        folder: Gets the tiles. It must not exist.

    Returns:
        The folder.
    """
    folder.mkdir()
    source = to_eight_bits(to_image(for_viewer(before)))
    columns, rows = (-(-side // TILE) for side in after.size)
    places = [(column, row) for row in range(rows) for column in range(columns)]
    save = partial(_save_pair, source, for_viewer(after), folder)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        list(pool.map(save, places))
    return folder


def bicubic_part(
    source: Image.Image, size: tuple[int, int], box: tuple[int, int, int, int]
) -> Image.Image:
    """Return a part of an image that is resized with bicubic interpolation.

    Args:
        source: The image.
        size: (width, height) of the whole resized image.
        box: (left, top, right, bottom) of the part in the resized image.
    """
    x, y = source.width / size[0], source.height / size[1]
    left, top, right, bottom = box
    region = (left * x, top * y, min(right * x, source.width), min(bottom * y, source.height))
    return source.resize((right - left, bottom - top), Image.Resampling.BICUBIC, box=region)


def _save_pair(source: Image.Image, after: ImageData, folder: Path, place: tuple[int, int]) -> None:
    left, top = place[0] * TILE, place[1] * TILE
    right, bottom = min(left + TILE, after.size[0]), min(top + TILE, after.size[1])
    part = ImageData(after.array[top:bottom, left:right], after.metadata)
    parts = {
        "before": bicubic_part(source, after.size, (left, top, right, bottom)),
        "after": to_eight_bits(to_image(part)),
    }
    for side, image in parts.items():
        name = f"{side}-{place[0]}-{place[1]}.png"
        profile = after.metadata.icc_profile
        image.save(folder / name, compress_level=1, icc_profile=profile)
