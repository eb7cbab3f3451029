"""Pictures of 16 bits with colours or an alpha, by libvips: Pillow would cut them to 8 bits."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

from hsr_hub.images.metadata import Metadata, orientation

PHOTOMETRIC, BITS, SAMPLE_FORMAT = 262, 258, 339
"""TIFF's tags."""

TURNS = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}
"""What makes an array upright, by EXIF's orientation."""


def is_deep(image: ImageFile.ImageFile) -> bool:
    """Whether the file, of which Pillow has read the header, has such pixels."""
    if image.mode not in {"RGB", "RGBA", "LA"} or not image.tile:
        return False
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = image.tag_v2
        unsigned = set(tags.get(SAMPLE_FORMAT, (1,))) == {1}
        return set(tags.get(BITS, ())) == {16} and unsigned and tags.get(PHOTOMETRIC) == 2
    arguments = image.tile[0].args
    raw_mode = arguments[0] if isinstance(arguments, tuple) else arguments
    return image.format == "PNG" and isinstance(raw_mode, str) and ";16" in raw_mode


def read(source: str | Path | BinaryIO, header: Image.Image) -> np.ndarray:
    """(H,W,2|3|4) uint16, upright.

    Args:
        source: The file.
        header: The same as Pillow opened it.

    Raises:
        pyvips.Error: The file is damaged.
    """
    import pyvips

    # fail_on: half a picture is no picture.
    if isinstance(source, (str, Path)):
        image = pyvips.Image.new_from_file(str(source), access="sequential", fail_on="truncated")
    else:
        source.seek(0)
        image = pyvips.Image.new_from_buffer(source.read(), "", fail_on="truncated")
    array = image.numpy()  # multiplied alpha is undone by libvips
    turn = TURNS.get(orientation(header))
    return np.ascontiguousarray(turn(array) if turn else array)


def write_png(array: np.ndarray, path: Path, metadata: Metadata) -> None:
    """(H,W,2|3|4) uint16 as a PNG of 16 bits.

    Raises:
        OSError: It cannot be written.
    """
    import pyvips

    image = pyvips.Image.new_from_array(np.ascontiguousarray(array)).copy(
        interpretation="grey16" if array.shape[2] == 2 else "rgb16"
    )
    blobs = {
        "icc-profile-data": metadata.icc_profile,
        "exif-data": metadata.exif,
        "xmp-data": metadata.xmp,
    }
    for field, blob in blobs.items():
        if blob:
            image.set_type(pyvips.GValue.blob_type, field, blob)  # pyright: ignore
    if metadata.dpi:
        horizontal, vertical = (value / 25.4 for value in metadata.dpi)  # per millimetre
        image = image.copy(xres=horizontal, yres=vertical)
    try:
        image.pngsave(str(path), bitdepth=16, compression=4)
    except pyvips.Error as error:
        raise OSError(str(error)) from error
