"""Read image files, which may be damaged or made to do harm."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from hsr_hub.images import png, sixteen_bit
from hsr_hub.images.errors import ImageError, ImageWarning
from hsr_hub.images.formats import FORMATS, MAX_PIXELS, OPENED_FORMATS
from hsr_hub.images.frame_count import count_frames
from hsr_hub.images.guards import check_jpeg_scans
from hsr_hub.images.identify import (
    DEVELOP,
    HEAD_BYTES,
    RAW,
    describe,
    image_format,
    read_head,
)
from hsr_hub.images.image_data import ImageData, to_image
from hsr_hub.images.lost_parts import find_losses
from hsr_hub.images.metadata import Metadata, find_stamp
from hsr_hub.images.profiles import COLOUR_BYTES, find_code_points, find_profile
from hsr_hub.images.tiff_kinds import TiffKind


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
        ImageWarning: Something was converted or left out, such as the other frames of an animation.
            The same sentences are in the `notes` of the result.
    """
    image = decode_image(source, name, max_pixels)
    for note in image.notes:
        warnings.warn(note, ImageWarning, stacklevel=2)
    return image


def decode_image(
    source: str | Path | BinaryIO,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    *,
    all_frames: bool = False,
) -> ImageData:
    """Read an image like `read_image`, without warnings.

    Args:
        source: A path or a binary file.
        name: Name of the image in errors.
        max_pixels: Limit of pixels.
        all_frames: Whether the other frames are read too, so that there is no note about them.
    """
    name = name or (Path(source).name if isinstance(source, (str, Path)) else "the image")
    _check_exists(source, name)
    source, losses, tiff = prepare(source, name)
    with _open_file(source) as file:
        head = file.read(COLOUR_BYTES)
        file.seek(0)
    with open_image(source, name, max_pixels) as opened:
        try:
            if sixteen_bit.is_sixteen_bit_colour(opened):
                array = sixteen_bit.read(source, opened)
                image = ImageData(array, Metadata.from_image(opened))
            else:
                opened.load()
                image = None
        except Exception as error:
            raise ImageError(
                f"{name} is damaged or cut off ({error}): copy or download it again"
            ) from error
        if image is None:
            check_size(opened, name, max_pixels)  # a HEIF can be larger than its header says
            image = _convert(opened, name)
        if tiff:
            image = _finish_tiff(image, tiff, source, opened)
        points = find_code_points(opened, head)
        # Code points are stronger than a profile in a PNG only.
        if not image.metadata.icc_profile or (points and opened.format == "PNG"):
            profile = find_profile(opened, points, grey=image.grey)
            profile = profile or image.metadata.icc_profile
            image.metadata = replace(image.metadata, icc_profile=profile)
        losses += find_losses(opened, head, points)
        image.frames = len(tiff.pages) if tiff else count_frames(opened)
    if image.frames > 1 and not all_frames:
        unit = {"TIFF": "pages", "HEIF": "images"}.get(str(opened.format), "frames")
        losses.append(f"only the first of its {image.frames} {unit} is used")
    image.notes = tuple(f"{name}: {loss}" for loss in losses)
    return image


def read_stamp(path: Path) -> str | None:
    """Return the settings that made a result of this program, or None for other files."""
    try:
        with warnings.catch_warnings(), Image.open(path, formats=OPENED_FORMATS) as opened:
            warnings.simplefilter("ignore")
            return find_stamp(opened)
    except Exception:  # a broken file is no result
        return None


def _check_exists(source: str | Path | BinaryIO, name: str) -> None:
    if not isinstance(source, (str, Path)):
        return
    path = Path(source)
    if not path.is_file():
        raise ImageError(f"{path}: there is no such file")
    if path.stat().st_size == 0:
        raise ImageError(f"{name} is empty (0 bytes): copy or download it again")


def prepare(
    source: str | Path | BinaryIO, name: str
) -> tuple[str | Path | BinaryIO, list[str], TiffKind | None]:
    """Look at a file before Pillow does.

    Returns:
        The file, or a repaired copy of a PNG; sentences about the repair; and for a TIFF what it
        says about its pixels.

    Raises:
        ImageError: The file is a TIFF that would be read wrongly.
    """
    try:
        with _open_file(source) as file:
            head = file.read(HEAD_BYTES)
            file.seek(0)
            format = image_format(head)
            if format == "PNG":
                data, losses = png.repair(file.read())
                file.seek(0)
                return (io.BytesIO(data) if losses else source), losses, None
            if format != "TIFF":
                return source, [], None
            tiff = TiffKind(file)
            file.seek(0)
    except OSError as error:
        raise ImageError(f"{name} cannot be read ({error}): check its permissions") from error
    suffix = Path(source).suffix if isinstance(source, (str, Path)) else ""
    if describe(head, suffix) == RAW:
        raise ImageError(f"{name} is {RAW}: {DEVELOP}")
    if problem := tiff.problem():
        raise ImageError(f"{name} {problem}")
    return source, [], tiff


def _finish_tiff(
    image: ImageData, tiff: TiffKind, source: str | Path | BinaryIO, opened: Image.Image
) -> ImageData:
    """Return the image with values that Pillow leaves as they are, and with exact metadata."""
    array = image.array
    if opened.mode.startswith("I;16"):
        if tiff.bits == 12:
            array = (array.astype(np.uint32) * 65535 // 4095).astype(np.uint16)
        if tiff.inverted:
            array = 65535 - array
    with _open_file(source) as file:
        metadata = image.metadata.with_tiff(file)
    return ImageData(array, metadata.resized(image.size, grey=image.grey))


@contextmanager
def _open_file(source: str | Path | BinaryIO) -> Iterator[BinaryIO]:
    """Open a path, or yield a file that is open."""
    if isinstance(source, (str, Path)):
        with Path(source).open("rb") as file:
            yield file
    else:
        source.seek(0)
        yield source


def _convert(opened: ImageFile.ImageFile, name: str) -> ImageData:
    try:
        return ImageData.from_image(opened)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error
    except Exception as error:
        raise ImageError(
            f"{name} cannot be converted from {opened.mode} to RGB ({error}): "
            "save it as RGB in another program"
        ) from error


def read_pil(
    source: str | Path | BinaryIO, name: str | None = None, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """Read a Pillow image in L, LA, RGB, RGBA or I;16, with its metadata in `info`.

    See `read_image` for the arguments and errors. Pillow has no mode for 16-bit colour, which is
    rounded to 8 bits.
    """
    return to_image(read_image(source, name, max_pixels))


def open_image(source: str | Path | BinaryIO, name: str, max_pixels: int) -> ImageFile.ImageFile:
    """Read the header of a file and check its size; the pixels are not decoded yet."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns about sizes and broken metadata
            image = Image.open(source, formats=OPENED_FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageError(_too_large(name, max_pixels)) from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name} {_what_it_is(source)}") from error
    except Exception as error:  # a broken header can cause any error in a decoder
        raise ImageError(
            f"{name} cannot be opened as an image ({error}): copy or download it again"
        ) from error
    try:
        check_size(image, name, max_pixels)
        if image.format in {"JPEG", "MPO"}:
            try:
                check_jpeg_scans(source)
            except ValueError as error:
                raise ImageError(f"{name} was not opened, because {error}") from error
    except ImageError:
        image.close()
        raise
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


def check_size(image: Image.Image, name: str, max_pixels: int) -> None:
    """Raise `ImageError` if an image has more pixels than the limit."""
    if image.width * image.height > max_pixels:
        raise ImageError(_too_large(name, max_pixels))


def _too_large(name: str, max_pixels: int) -> str:
    return (
        f"{name} has more than {max_pixels / 1e6:.0f} megapixels and was not opened: "
        "make it smaller or cut it into parts"
    )


def _what_it_is(source: str | Path | BinaryIO) -> str:
    """Return the end of a sentence about a file that no decoder takes."""
    if isinstance(source, (str, Path)):
        head, suffix = read_head(Path(source)), Path(source).suffix
    else:
        source.seek(0)
        head, suffix = source.read(HEAD_BYTES), ""
    format = image_format(head)
    if format and format not in OPENED_FORMATS:
        entry = FORMATS[format]
        hint = entry.install_hint or "save it as PNG or JPEG in another program"
        return f"was not opened, because the decoder for {entry.label} is missing: {hint}"
    kind = describe(head, suffix)
    if kind == RAW:
        return f"is {RAW}: {DEVELOP}"
    if kind:
        return f"is {kind}, which is not supported: save it as PNG or JPEG in another program"
    if format == "TIFF":
        with _open_file(source) as file:
            return f"{TiffKind(file).describe()}, which cannot be read: save it as 8-bit RGB"
    if format:
        label = FORMATS[format].label
        return f"starts like a {label} file, but is damaged: copy or download it again"
    *formats, last = (FORMATS[name].label for name in OPENED_FORMATS)
    return f"is not an image that can be read: use a {', '.join(formats)} or {last} file"
