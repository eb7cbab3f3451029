"""Read and write 16-bit images with several channels.

These go through libvips, because Pillow reduces them to 8 bits.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ImageFile, TiffImagePlugin

from hsr_hub.images import png
from hsr_hub.images.guards import check_matches_header
from hsr_hub.images.metadata import Metadata, orientation

# TIFF tags
BITS_PER_SAMPLE = 258
PHOTOMETRIC = 262
SAMPLE_FORMAT = 339

MAKE_UPRIGHT = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}
"""Functions that turn an array upright, by EXIF orientation."""


def is_sixteen_bit_colour(image: ImageFile.ImageFile) -> bool:
    """Return whether an opened file has 16 bits and several channels."""
    if image.mode not in {"RGB", "RGBA", "LA"} or not image.tile:
        return False
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = image.tag_v2
        unsigned = set(tags.get(SAMPLE_FORMAT, (1,))) == {1}
        sixteen_bit = set(tags.get(BITS_PER_SAMPLE, ())) == {16}
        return sixteen_bit and unsigned and tags.get(PHOTOMETRIC) == 2  # 2 is RGB
    arguments = image.tile[0].args
    raw_mode = arguments[0] if isinstance(arguments, tuple) else arguments
    return image.format == "PNG" and isinstance(raw_mode, str) and ";16" in raw_mode


def read(source: str | Path | BinaryIO, header: ImageFile.ImageFile) -> np.ndarray:
    """Read the pixels of a 16-bit file.

    Args:
        source: The file.
        header: The same file as Pillow opened it.

    Returns:
        (H,W,2|3|4) uint16, upright.

    Raises:
        pyvips.Error: The file is damaged.
        ValueError: libvips reads another size or format than `header` has.
    """
    import pyvips

    # Without fail_on, libvips fills the missing part of a truncated image with black.
    if isinstance(source, (str, Path)):
        image = pyvips.Image.new_from_file(str(source), access="sequential", fail_on="truncated")
    else:
        source.seek(0)
        image = pyvips.Image.new_from_buffer(source.read(), "", fail_on="truncated")
    check_matches_header(image, header)
    array = image.numpy()  # libvips has divided premultiplied colours by their alpha
    turn = MAKE_UPRIGHT.get(orientation(header))
    return np.ascontiguousarray(turn(array) if turn else array)


def write_png(array: np.ndarray, path: Path, metadata: Metadata) -> None:
    """Write a 16-bit PNG.

    Args:
        array: (H,W,2|3|4) uint16.
        path: The output file.
        metadata: The metadata to store.

    Raises:
        OSError: The file cannot be written.
    """
    import pyvips

    image = pyvips.Image.new_from_array(np.ascontiguousarray(array)).copy(
        interpretation="grey16" if array.shape[2] == 2 else "rgb16"
    )
    try:
        data = image.pngsave_buffer(bitdepth=16, compression=4, strip=True)  # pyright: ignore
    except pyvips.Error as error:
        raise OSError(str(error)) from error
    png.write_with_metadata(data, path, metadata)
