"""Read image files, which may be damaged or made to do harm."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageFile, UnidentifiedImageError

from hsr_hub.images import sixteen_bit
from hsr_hub.images.errors import ImageError, ImageWarning
from hsr_hub.images.formats import FORMATS, MAX_PIXELS
from hsr_hub.images.guards import check_jpeg_scans
from hsr_hub.images.image_data import ImageData, to_image
from hsr_hub.images.metadata import Metadata
from hsr_hub.images.modes import CONVERTED_MODES


def read_image(
    source: str | Path | BinaryIO, name: str | None = None, max_pixels: int = MAX_PIXELS
) -> ImageData:
    """Read an image of 8 or 16 bits with its metadata.

    Args:
        source: A path or a binary file.
        name: Name of the image in errors; by default the file's name.
        max_pixels: Images with more pixels are refused before they are decoded.

    Raises:
        ImageError: The file is missing, empty, damaged, too large or not an image.

    Warns:
        ImageWarning: CMYK or Lab was converted, or only the first of several frames was read.
    """
    name = name or (Path(source).name if isinstance(source, (str, Path)) else "the image")
    with _open(source, name, max_pixels) as opened:
        try:
            if sixteen_bit.is_sixteen_bit_colour(opened):
                array = sixteen_bit.read(source, opened)
                _warn_of_losses(opened, name)
                return ImageData(array, Metadata.from_image(opened))
            opened.load()
        except Exception as error:
            raise ImageError(
                f"{name} is damaged or cut off ({error}): copy or download it again"
            ) from error
        try:
            image = ImageData.from_image(opened)
        except ImageError as error:
            raise ImageError(f"{name}: {error}") from error
        except Exception as error:
            raise ImageError(
                f"{name} cannot be converted from {opened.mode} to RGB ({error}): "
                "save it as RGB in another program"
            ) from error
        _warn_of_losses(opened, name)
        return image


def read_pil(
    source: str | Path | BinaryIO, name: str | None = None, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """Read a Pillow image in L, LA, RGB, RGBA or I;16, with its metadata in `info`.

    See `read_image` for the arguments and errors. Pillow has no mode for 16-bit colour, which is
    rounded to 8 bits.
    """
    return to_image(read_image(source, name, max_pixels))


def _open(source: str | Path | BinaryIO, name: str, max_pixels: int) -> ImageFile.ImageFile:
    """Read the header of a file and check its size; the pixels are not decoded yet."""
    if isinstance(source, (str, Path)):
        path = Path(source)
        if not path.is_file():
            raise ImageError(f"{path}: there is no such file")
        if path.stat().st_size == 0:
            raise ImageError(f"{name} is empty (0 bytes): copy or download it again")
    too_large = (
        f"{name} has more than {max_pixels / 1e6:.0f} megapixels and was not opened: "
        "make it smaller or cut it into parts"
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about sizes and broken metadata
            image = Image.open(source, formats=list(FORMATS))
    except Image.DecompressionBombError as error:
        raise ImageError(too_large) from error
    except UnidentifiedImageError as error:
        *formats, last = FORMATS
        raise ImageError(
            f"{name} is not an image that can be read: use a {', '.join(formats)} or {last} file"
        ) from error
    except Exception as error:  # a broken header can cause any error in a decoder
        raise ImageError(
            f"{name} cannot be opened as an image ({error}): copy or download it again"
        ) from error
    if image.width * image.height > max_pixels:
        image.close()
        raise ImageError(too_large)
    if image.format in {"JPEG", "MPO"}:
        try:
            check_jpeg_scans(source)
        except ValueError as error:
            image.close()
            raise ImageError(f"{name} was not opened, because {error}") from error
    _drop_mistyped_metadata(image)
    return image


def _drop_mistyped_metadata(image: Image.Image) -> None:
    """Drop a profile or XMP that is not text or bytes, such as numbers in a TIFF.

    Pillow fails on them when it converts the image.
    """
    for key in ("icc_profile", "xmp"):
        value = image.info.get(key)
        parts = value if isinstance(value, tuple) else (value,)
        if not all(isinstance(part, (bytes, str)) for part in parts):
            image.info.pop(key, None)


def _warn_of_losses(image: Image.Image, name: str) -> None:
    """Warn if colours were converted or frames are left out."""
    if image.mode in CONVERTED_MODES:
        approximate = image.mode == "CMYK" and not image.info.get("icc_profile")
        note = " without a colour profile: colours may differ" if approximate else ""
        warnings.warn(f"{name}: {image.mode} converted to RGB{note}", ImageWarning, stacklevel=3)
    try:
        several = getattr(image, "is_animated", False)
    except Exception:  # the second frame is broken
        several = True
    # MPO is a JPEG with a second image, which phones add; it does not count as a frame.
    if several and image.format != "MPO":
        warnings.warn(
            f"{name} has several frames or pages: only the first is used",
            ImageWarning,
            stacklevel=3,
        )
