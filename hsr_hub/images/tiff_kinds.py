"""Kinds of TIFF files that are not read, or read wrongly, by Pillow."""

from __future__ import annotations

import struct
from typing import BinaryIO

from hsr_hub.images.exif import LONG, MAIN, SHORT, ExifBlock, ExifError
from hsr_hub.images.identify import DEVELOP, RAW

# TIFF tags
SUBFILE_TYPE = 254
BITS_PER_SAMPLE = 258
COMPRESSION = 259
PHOTOMETRIC = 262
SAMPLES_PER_PIXEL = 277
PLANAR_CONFIGURATION = 284
TILE_WIDTH = 322
SUB_DIRECTORIES = 330
EXTRA_SAMPLES = 338
SAMPLE_FORMAT = 339
DNG_VERSION = 50706

WANTED = {
    SUBFILE_TYPE,
    BITS_PER_SAMPLE,
    COMPRESSION,
    PHOTOMETRIC,
    SAMPLES_PER_PIXEL,
    PLANAR_CONFIGURATION,
    TILE_WIDTH,
    SUB_DIRECTORIES,
    EXTRA_SAMPLES,
    SAMPLE_FORMAT,
    DNG_VERSION,
}

RAW_PHOTOMETRICS = {32803, 34892}  # a colour filter array, and linear raw data

COMPRESSIONS = {
    33003: "JPEG 2000",
    33005: "JPEG 2000",
    34661: "JBIG",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "lossy JPEG of DNG",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
"""Compressions that the decoder lacks, by their number."""


class _Others:
    """Contains all tags except those of `WANTED`."""

    def __contains__(self, tag: object) -> bool:
        return tag not in WANTED


class TiffKind:
    """What the main directory of a TIFF says about its pixels."""

    def __init__(self, file: BinaryIO) -> None:
        try:
            self._block = ExifBlock.parse(file, skip=_Others())
        except ExifError:  # a BigTIFF
            self._block = ExifBlock()

    def values(self, tag: int) -> tuple[int, ...]:
        """Return the numbers of a tag; empty if it is missing."""
        entry = self._block.get(MAIN).get(tag)
        if entry is None or entry.type not in (1, SHORT, LONG):
            return ()
        letter = {1: "B", SHORT: "H", LONG: "I"}[entry.type]
        count = len(entry.data) // struct.calcsize(letter)
        return struct.unpack(f"{self._block.order}{count}{letter}", entry.data)

    def value(self, tag: int, default: int = 0) -> int:
        """Return the first number of a tag."""
        return (*self.values(tag), default)[0]

    @property
    def is_raw(self) -> bool:
        """Whether the file is from a camera, and its first image is a thumbnail or raw data."""
        thumbnail = self.value(SUBFILE_TYPE) & 1
        return self.value(PHOTOMETRIC) in RAW_PHOTOMETRICS or bool(
            thumbnail and (self.values(SUB_DIRECTORIES) or self.values(DNG_VERSION))
        )

    @property
    def inverted(self) -> bool:
        """Whether 0 is white."""
        return bool(self.values(PHOTOMETRIC)) and self.value(PHOTOMETRIC) == 0

    @property
    def bits(self) -> int:
        """Bits per channel."""
        return self.value(BITS_PER_SAMPLE, 1)

    def problem(self) -> str | None:
        """Return the end of a sentence that says why the file is refused, or None."""
        if self.is_raw:
            return f"is {RAW}: {DEVELOP}"
        formats = set(self.values(SAMPLE_FORMAT))
        if formats & {3, 5, 6}:
            return (
                "has floating-point values, which have no fixed range: "
                "convert it to 8 or 16 bits first"
            )
        if 2 in formats and self.bits <= 16:
            return (
                f"has signed {self.bits}-bit values, as scans of tomographs have, and these have "
                "no fixed range: convert it to unsigned 8 or 16 bits first"
            )
        colours = {2: 3, 5: 4, 6: 3, 8: 3}.get(self.value(PHOTOMETRIC, 1), 1)
        channels = self.value(SAMPLES_PER_PIXEL, 1)
        if channels > colours + 1:
            return (
                f"has {channels} channels, {channels - colours} more than its colours need: "
                "save it as RGB or RGB with alpha"
            )
        if self.value(PLANAR_CONFIGURATION, 1) == 2 and self.values(TILE_WIDTH):
            return "has tiles with separate planes of colours: save it without tiles"
        if self.value(COMPRESSION, 1) in COMPRESSIONS:
            return f"{self.describe()}, which cannot be read: save it with LZW or Deflate"
        return None

    def describe(self) -> str:
        """Return the structure of the pixels, for a file that no decoder takes."""
        number = self.value(COMPRESSION, 1)
        return (
            f"has {self.value(SAMPLES_PER_PIXEL, 1)} channels of {self.bits} bits with "
            f"the compression {COMPRESSIONS.get(number, number)}"
        )
