"""Write TIFF files of 8 and 16 bits with EXIF.

Pillow and libvips write TIFF by libtiff, which loses EXIF. Here, an EXIF block is the start of the
file, because EXIF has the structure of a TIFF, and the pixels are strips compressed by zlib.
"""

from __future__ import annotations

import zlib
from pathlib import Path

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


def write_tiff(array: np.ndarray, path: Path, metadata: Metadata) -> None:
    """Write a TIFF, losslessly compressed.

    Args:
        array: (H,W) grey, (H,W,2) grey and alpha, (H,W,3) RGB or (H,W,4) RGB and alpha; uint8 or
            uint16. 16-bit grey and alpha is written as RGB and alpha.
        path: The output file.
        metadata: The metadata to store.

    Raises:
        OSError: The file cannot be written.
        ValueError: The image exceeds the 4 GB limit of TIFF.
    """
    planes = array if array.ndim == 3 else array[:, :, None]
    if planes.shape[2] == 2 and planes.dtype == np.uint16:  # Pillow cannot read such a TIFF
        planes = planes[:, :, [0, 0, 0, 1]]
    height, width, channels = planes.shape
    if planes.nbytes >= 2**32 - 2**24:
        raise ValueError(
            f"a TIFF holds 4 GB, the image has {planes.nbytes / 1e9:.1f} GB: choose PNG"
        )
    block = _exif_block(metadata.exif)
    ordered = planes.astype(planes.dtype.newbyteorder(block.order), copy=False)
    rows = max(1, STRIP_BYTES // (width * channels * planes.itemsize))
    strips = [
        zlib.compress(ordered[top : top + rows].tobytes(), 4) for top in range(0, height, rows)
    ]

    main = block.get(MAIN)
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
    first = len(block.tobytes())
    offsets = first + np.cumsum([0, *lengths[:-1]])
    main[TAGS["StripOffsets"]] = block.integers(LONG, *offsets.tolist())
    with path.open("wb") as file:
        file.write(block.tobytes())
        file.writelines(strips)


def _exif_block(exif: bytes | None) -> ExifBlock:
    """Return EXIF as the start of a TIFF; broken EXIF is left out."""
    try:
        block = ExifBlock.parse(exif) if exif else ExifBlock("<")
    except ExifError:
        block = ExifBlock("<")
    block.get(MAIN).pop(TAGS["YCbCrPositioning"], None)
    return block
