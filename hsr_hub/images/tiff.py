"""Write TIFF files of 8 and 16 bits with EXIF.

Pillow and libvips write TIFF by libtiff, which loses EXIF. Here, Pillow's Python code writes the
directory, and the pixels are strips compressed by zlib.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from PIL import Image, TiffTags
from PIL.TiffImagePlugin import ImageFileDirectory_v2

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
            is_nested = tag in TiffTags.TAGS_V2_GROUPS
            directory[tag] = exif.get_ifd(tag) if is_nested else exif[tag]
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
        "StripOffsets": (0, *ends[:-1]),  # relative to the directory's end; Pillow adds that
        "StripByteCounts": tuple(lengths),
    }
    if channels in (2, 4):
        fields["ExtraSamples"] = 2  # alpha that is not premultiplied
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
