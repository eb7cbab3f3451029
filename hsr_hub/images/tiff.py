"""Write TIFF files of 8 and 16 bits with EXIF.

Pillow and libvips write TIFF by libtiff, which loses EXIF. Here, an EXIF block is the start of the
file, because EXIF has the structure of a TIFF, and the pixels are strips compressed by zlib.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import TiffTags

from hsr_hub.images.exif import (
    BYTE,
    LONG,
    MAIN,
    SHORT,
    UNDEFINED,
    Entry,
    ExifBlock,
    ExifError,
)
from hsr_hub.images.metadata import Metadata

STRIP_BYTES = 1 << 18
"""Approximate size of a strip; readers decode one strip at a time."""

TAGS = {str(info.name): tag for tag, info in TiffTags.TAGS_V2.items()}


MAX_BYTES = 2**32 - 2**24
"""Largest file, because offsets have 32 bits."""


def write_tiff(pages: Iterable[tuple[np.ndarray, Metadata]], path: Path) -> None:
    """Write a TIFF of one or more pages, losslessly compressed.

    Args:
        pages: Arrays, with the metadata to store. An array is (H,W) grey, (H,W,2) grey and alpha,
            (H,W,3) RGB or (H,W,4) RGB and alpha; uint8 or uint16. 16-bit grey and alpha is written
            as RGB and alpha.
        path: The output file.

    Raises:
        OSError: The file cannot be written.
        ValueError: The file exceeds the 4 GB limit of TIFF.
    """
    order, link = None, 0
    with path.open("wb") as file:
        for array, metadata in pages:
            block = _exif_block(metadata.exif)
            if order and block.order != order:  # a file has one byte order
                block = ExifBlock(order)
            order = block.order
            file.write(bytes(file.tell() % 2))
            start = file.tell()
            head = _write_page(array, metadata, block, file)
            if link:
                file.seek(link)
                file.write(head[4:8])
                file.seek(0, io.SEEK_END)
            [first] = struct.unpack(f"{order}I", head[4:8])
            [tags] = struct.unpack_from(f"{order}H", head, first - start)
            link = first + 2 + 12 * tags


def _write_page(array: np.ndarray, metadata: Metadata, block: ExifBlock, file: BinaryIO) -> bytes:
    """Write a page at the end of a file, and return its directories."""
    planes = array if array.ndim == 3 else array[:, :, None]
    if planes.shape[2] == 2 and planes.dtype == np.uint16:  # Pillow cannot read such a TIFF
        planes = planes[:, :, [0, 0, 0, 1]]
    height, width, channels = planes.shape
    start = file.tell()
    if start + planes.nbytes >= MAX_BYTES:
        raise ValueError(
            f"a TIFF holds 4 GB, the image has {(start + planes.nbytes) / 1e9:.1f} GB: choose PNG"
        )
    ordered = planes.astype(planes.dtype.newbyteorder(block.order), copy=False)
    rows = max(1, STRIP_BYTES // (width * channels * planes.itemsize))
    strips = [
        zlib.compress(ordered[top : top + rows].tobytes(), 4) for top in range(0, height, rows)
    ]

    main = block.get(MAIN)
    for name in ("XResolution", "YResolution", "ResolutionUnit"):  # a default in EXIF
        main.pop(TAGS[name], None)
    lengths = [len(strip) for strip in strips]
    integers = {
        "ImageWidth": (LONG, width),
        "ImageLength": (LONG, height),
        "BitsPerSample": (SHORT, *[8 * planes.itemsize] * channels),
        "Compression": (SHORT, 8),
        "PhotometricInterpretation": (SHORT, 1 if channels <= 2 else 2),
        "SamplesPerPixel": (SHORT, channels),
        "RowsPerStrip": (LONG, rows),
        "PlanarConfiguration": (SHORT, 1),
        "StripOffsets": (LONG, *[0] * len(strips)),
        "StripByteCounts": (LONG, *lengths),
    }
    if channels in (2, 4):
        integers["ExtraSamples"] = (SHORT, 2)  # alpha that is not premultiplied
    if metadata.dpi:
        integers["ResolutionUnit"] = (SHORT, 2)  # inches
        for name, value in zip(("XResolution", "YResolution"), metadata.dpi, strict=True):
            main[TAGS[name]] = block.rational(value)
    for name, (kind, *values) in integers.items():
        main[TAGS[name]] = block.integers(kind, *values)
    for name, kind, blob in (
        ("XMP", BYTE, metadata.xmp),
        ("ICCProfile", UNDEFINED, metadata.icc_profile),
        ("IptcNaaInfo", UNDEFINED, metadata.iptc),
    ):
        if blob:
            main[TAGS[name]] = Entry(kind, blob)
    first = start + len(block.tobytes(start))
    offsets = first + np.cumsum([0, *lengths[:-1]])
    main[TAGS["StripOffsets"]] = block.integers(LONG, *offsets.tolist())
    directories = block.tobytes(start)
    file.write(directories)
    file.writelines(strips)
    return directories


def _exif_block(exif: bytes | None) -> ExifBlock:
    """Return EXIF as the start of a TIFF; broken EXIF is left out."""
    try:
        block = ExifBlock.parse(exif) if exif else ExifBlock("<")
    except ExifError:
        block = ExifBlock("<")
    block.get(MAIN).pop(TAGS["YCbCrPositioning"], None)
    return block
