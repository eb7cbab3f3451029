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

REDUCED, MASK = 1, 4
"""Bits of `SUBFILE_TYPE` for thumbnails and masks of another page."""

TIFF_HEADS = {
    b"II*\0": ("<", False),
    b"MM\0*": (">", False),
    b"II+\0": ("<", True),
    b"MM\0+": (">", True),
}
"""Byte order, and whether the file is a BigTIFF, by the first bytes."""

MAX_TAGS = 4096
"""Directories with more tags are broken."""

MAX_DIRECTORY_BYTES = 1 << 24
"""Limit of a file's directories, which can overlap in a file that is made to do harm."""

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


def find_pages(file: BinaryIO) -> list[int]:
    """Return the offsets of the directories of a TIFF, except those of thumbnails and masks.

    The first directory always counts. The list ends where the file is broken, and at
    `MAX_DIRECTORY_BYTES`.
    """
    file.seek(0)
    head = file.read(16)
    if head[:4] not in TIFF_HEADS:
        return [0]
    order, big = TIFF_HEADS[head[:4]]
    # Sizes of an entry, of the number of entries and of an offset.
    row, count_type, offset_type = (20, "Q", "Q") if big else (12, "H", "I")
    [offset] = struct.unpack_from(order + offset_type, head.ljust(16, b"\0"), 8 if big else 4)
    pages: list[int] = []
    seen: set[int] = set()
    left = MAX_DIRECTORY_BYTES
    while 0 < offset < 2**63 and offset not in seen and left > 0:
        seen.add(offset)
        file.seek(offset)
        data = file.read(struct.calcsize(order + count_type))
        if len(data) < struct.calcsize(order + count_type):
            break
        [count] = struct.unpack(order + count_type, data)
        table = file.read(min(count, MAX_TAGS) * row)
        following = file.read(struct.calcsize(offset_type))
        left -= len(table) + 1
        kind = 0
        for start in range(0, len(table) - row + 1, row):
            tag, kind_type = struct.unpack_from(order + "HH", table, start)
            if tag == SUBFILE_TYPE and kind_type in (SHORT, LONG):
                letter = "H" if kind_type == SHORT else "I"
                [kind] = struct.unpack_from(order + letter, table, start + row - len(following))
        if not pages or not kind & (REDUCED | MASK):
            pages.append(offset)
        if count > MAX_TAGS or len(following) < struct.calcsize(offset_type):
            break
        [offset] = struct.unpack(order + offset_type, following)
    return pages or [0]


def at_page(data: bytes, offset: int) -> bytes:
    """Return a TIFF whose first page is the one at `offset`."""
    order, big = TIFF_HEADS[data[:4]]
    at = 8 if big else 4
    field = struct.pack(order + ("Q" if big else "I"), offset)
    return data[:at] + field + data[at + len(field) :]


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
        self.pages = find_pages(file)
        """Offsets of the directories of all pages."""

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
