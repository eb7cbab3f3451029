"""TIFF files of 8 and 16 bits with EXIF, which libtiff (behind Pillow and libvips) does not write.

The directory is Pillow's, written by its own code; the pixels are strips deflated by zlib.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from PIL import Image, TiffTags
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from hsr_hub.images.metadata import Metadata

STRIP_BYTES = 1 << 18
"""Of pixels in a strip, about: readers decode it whole."""

TAGS = {str(info.name): tag for tag, info in TiffTags.TAGS_V2.items()}


def write_tiff(array: np.ndarray, path: Path, metadata: Metadata) -> None:
    """Write a deflated TIFF.

    Args:
        array: (H,W) grey, (H,W,2) grey and alpha, (H,W,3) or (H,W,4); uint8 or uint16. Grey and
            alpha of 16 bits become RGB and alpha.
        path: Where to.
        metadata: All of it is kept.

    Raises:
        OSError: It cannot be written.
        ValueError: It would be larger than the 4 GB that a TIFF holds.
    """
    planes = array if array.ndim == 3 else array[:, :, None]
    if planes.shape[2] == 2 and planes.dtype == np.uint16:  # Pillow, for one, does not read it
        planes = planes[:, :, [0, 0, 0, 1]]
    height, width, channels = planes.shape
    if planes.nbytes >= 2**32 - 2**24:
        raise ValueError("a TIFF holds 4 GB: choose PNG")
    little = planes.astype(planes.dtype.newbyteorder("<"), copy=False)
    rows = max(1, STRIP_BYTES // (width * channels * planes.itemsize))
    strips = [
        zlib.compress(little[top : top + rows].tobytes(), 4) for top in range(0, height, rows)
    ]

    directory = ImageFileDirectory_v2()
    if metadata.exif:
        exif = Image.Exif()
        exif.load(metadata.exif)
        for tag in exif:
            is_folder = tag in TiffTags.TAGS_V2_GROUPS
            directory[tag] = exif.get_ifd(tag) if is_folder else exif[tag]
    lengths = [len(strip) for strip in strips]
    ends = np.cumsum(lengths).tolist()
    fields = {
        "ImageWidth": width,
        "ImageLength": height,
        "BitsPerSample": (8 * planes.itemsize,) * channels,
        "Compression": 8,
        "PhotometricInterpretation": 1 if channels <= 2 else 2,
        "SamplesPerPixel": channels,
        "RowsPerStrip": rows,
        "PlanarConfiguration": 1,
        "StripOffsets": (0, *ends[:-1]),  # from the end of the directory: Pillow adds its length
        "StripByteCounts": tuple(lengths),
    }
    if channels in (2, 4):
        fields["ExtraSamples"] = 2  # alpha, colours not multiplied by it
    if metadata.dpi:
        fields["ResolutionUnit"] = 2  # inches
        fields["XResolution"], fields["YResolution"] = metadata.dpi
    for name, value in fields.items():
        directory[TAGS[name]] = value
    for tag, kind, blob in (
        (TAGS["XMP"], TiffTags.BYTE, metadata.xmp),
        (TAGS["ICCProfile"], TiffTags.UNDEFINED, metadata.icc_profile),
    ):
        if blob:
            directory.tagtype[tag] = kind
            directory[tag] = blob
    for name in ("StripOffsets", "StripByteCounts"):
        directory.tagtype[TAGS[name]] = TiffTags.LONG
    with path.open("wb") as file:
        directory.save(file)
        file.writelines(strips)
