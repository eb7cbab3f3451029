"""Refuse files that are made to cost far more than their size promises."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from PIL import ImageFile, TiffImagePlugin

if TYPE_CHECKING:
    import pyvips

MAX_JPEG_SCANS = 100
"""Each scan costs a pass over all pixels. Encoders write about 10, and libtiff allows 100 too."""

# TIFF tags
IMAGE_WIDTH = 256
IMAGE_LENGTH = 257
SAMPLES_PER_PIXEL = 277

START_OF_SCAN = 0xDA
END_OF_IMAGE = 0xD9
# A marker is 0xFF and a code. 0xFF00 is a data byte, and 0xFFFF is padding.
MARKER = re.compile(rb"\xff([^\x00\xff])")
# Codes without a segment. libjpeg skips the reserved codes below 0xC0 as if they had none.
LONE_CODES = {*range(0x01, 0xC0), *range(0xD0, 0xD9)}


def check_jpeg_scans(source: str | Path | BinaryIO) -> None:
    """Raise if a JPEG has more than `MAX_JPEG_SCANS` scans.

    The time is linear in the size of the file.

    Args:
        source: A path or a binary file, whose position is kept.

    Raises:
        ValueError: It has more scans.
    """
    if isinstance(source, (str, Path)):
        data = Path(source).read_bytes()
    else:
        position = source.tell()
        source.seek(0)
        data = source.read()
        source.seek(position)
    # Most files pass this quick test. Metadata can contain the two bytes by chance.
    if data.count(bytes((0xFF, START_OF_SCAN))) <= MAX_JPEG_SCANS:
        return
    if count_jpeg_scans(data) > MAX_JPEG_SCANS:
        raise ValueError(
            f"it has more than {MAX_JPEG_SCANS} scans: save it as a usual JPEG in another program"
        )


def count_jpeg_scans(data: bytes) -> int:
    """Return the number of scans up to the end of a JPEG's first image."""
    scans, position = 0, 2
    while match := MARKER.search(data, position):
        code = match[1][0]
        position = match.end()
        if code == END_OF_IMAGE:
            break
        if code in LONE_CODES:
            continue
        scans += code == START_OF_SCAN
        length = int.from_bytes(data[position : position + 2], "big")
        position += max(2, length)
    return scans


def check_matches_header(decoder: pyvips.Image, header: ImageFile.ImageFile) -> None:
    """Raise if libvips is about to decode another image than Pillow's header describes.

    A TIFF can contain a tag twice. Pillow and libtiff then use different values, so a limit that
    was checked with Pillow would not hold. libvips decodes on demand, so it has only read the
    header here.

    Args:
        decoder: A 16-bit image that libvips has opened and not decoded.
        header: The same file as Pillow opened it.

    Raises:
        ValueError: The size, the number of channels or the sample format differs.
    """
    size = header.size
    if isinstance(header, TiffImagePlugin.TiffImageFile):
        # Pillow states the size of the upright image.
        size = header.tag_v2.get(IMAGE_WIDTH), header.tag_v2.get(IMAGE_LENGTH)
        channels = header.tag_v2.get(SAMPLES_PER_PIXEL, 1)
    else:  # a PNG; libvips adds an alpha channel for a transparent colour
        arguments = header.tile[0].args
        raw_mode = arguments[0] if isinstance(arguments, tuple) else arguments
        names, _, _ = str(raw_mode).partition(";")  # such as "LA;16B", which Pillow opens as RGBA
        channels = len(names) + (names == "RGB" and header.has_transparency_data)
    expected = (*size, channels, "ushort")
    found = (decoder.width, decoder.height, decoder.bands, str(decoder.format))
    if found != expected:
        raise ValueError(
            f"its header is contradictory: {_describe(expected)} or {_describe(found)}"
        )


def _describe(image: tuple[object, ...]) -> str:
    width, height, channels, format = image
    return f"{width}x{height} pixels of {channels} {format} values"
