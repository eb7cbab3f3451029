"""Pictures in and out: files that may be hostile, modes, arrays, whole writes."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from hsr_hub.files import write_whole

MAX_PIXELS = 89_478_485
"""Pixels that a file's header may promise before it is refused unread (Pillow's own limit)."""

SAVE_OPTIONS = {
    ".png": {"optimize": False},
    ".jpg": {"quality": 95, "subsampling": 0},
    ".jpeg": {"quality": 95, "subsampling": 0},
    ".webp": {"lossless": True},
    ".tif": {"compression": "tiff_adobe_deflate"},
    ".tiff": {"compression": "tiff_adobe_deflate"},
    ".bmp": {},
}
"""Output formats by suffix, with settings that keep quality first."""

READ_FORMATS = ["PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "GIF"]
"""Decoders that may see a file. Pillow has more; some start other programs (PostScript)."""

READ_SUFFIXES = {*SAVE_OPTIONS, ".avif", ".gif"}
"""Suffixes of the files that a folder's pictures are told by."""


class ImageError(ValueError):
    """A picture that cannot be read or written; the message says which, why and what to do."""


def read_image(source: str | Path | BinaryIO, name: str | None = None) -> Image.Image:
    """A decoded picture, upright, in one of the modes L, LA, RGB, RGBA and I;16.

    Args:
        source: A path, or a binary file.
        name: What to call it in errors; by default the file's name.

    Raises:
        ImageError: The file is missing, empty, no picture, damaged, or too large.
    """
    if name is None:
        name = Path(source).name if isinstance(source, (str, Path)) else "the picture"
    if isinstance(source, (str, Path)):
        path = Path(source)
        if not path.is_file():
            raise ImageError(f"{path}: there is no such file")
        if path.stat().st_size == 0:
            raise ImageError(f"{name} is empty (0 bytes): copy or download it again")
    too_large = (
        f"{name} promises more than {MAX_PIXELS / 1e6:.0f} megapixels and was not opened: "
        "make it smaller or cut it into parts"
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(source, formats=READ_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(too_large) from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name} is not a picture that can be read: "
            "give a PNG, JPEG, WebP, AVIF, TIFF or BMP file"
        ) from error
    except Exception as error:  # decoders raise whatever a broken header makes them trip over
        raise ImageError(f"{name} cannot be opened as a picture: {error}") from error
    with image:
        if image.width * image.height > MAX_PIXELS:
            raise ImageError(too_large)
        try:
            image.load()
        except Exception as error:
            raise ImageError(
                f"{name} is damaged or cut off ({error}): copy or download it again"
            ) from error
        try:
            return to_plain_mode(image)
        except ImageError as error:
            raise ImageError(f"{name}: {error}") from error


def to_plain_mode(image: Image.Image) -> Image.Image:
    """The same picture, upright, in L, LA, RGB, RGBA or I;16, with its colour profile.

    Raises:
        ImageError: The values have no range that is known.
    """
    profile = image.info.get("icc_profile")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about the metadata
        try:
            image = ImageOps.exif_transpose(image)
        except Exception:  # broken metadata are no reason to refuse a sound picture
            image = image.copy()
    mode = image.mode
    if mode in {"I", "I;16", "I;16B", "I;16L", "I;16N"}:
        values = np.asarray(image)
        if mode == "I" and (values.min() < 0 or values.max() > 65535):
            raise ImageError("32-bit grey has no fixed range: convert it to 8 or 16 bits first")
        plain = Image.fromarray(values.astype(np.uint16))
    elif mode == "F":
        raise ImageError("floating-point grey has no fixed range: convert it to 8 or 16 bits first")
    elif mode in {"1", "L", "LA", "La"}:
        plain = image.convert("LA" if image.has_transparency_data else "L")
    else:
        plain = image.convert("RGBA" if image.has_transparency_data else "RGB")
    plain.info = {}
    # A profile for other channels than the result's (a CMYK picture's, say) would be wrong.
    if profile and profile[16:20] == (b"RGB " if plain.mode.startswith("RGB") else b"GRAY"):
        plain.info["icc_profile"] = profile
    return plain


def to_array(image: Image.Image) -> np.ndarray:
    """(H,W) for grey, (H,W,2|3|4) else; uint8, or uint16 for I;16."""
    return np.array(to_plain_mode(image))


def to_rgb(image: Image.Image) -> Image.Image:
    """The picture in 8-bit RGB, as metrics and training want it; transparency is dropped."""
    return to_eight_bits(to_plain_mode(image)).convert("RGB")


def to_eight_bits(image: Image.Image) -> Image.Image:
    """I;16 as L: a rounded 257th is the 8-bit value of a 16-bit one. Other modes as they are."""
    if image.mode != "I;16":
        return image
    return Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8))


def from_array(array: np.ndarray) -> Image.Image:
    """The picture of what `to_array` gave."""
    return Image.fromarray(array)


def check_suffix(path: Path) -> None:
    """Refuse a path whose suffix names no format that can be written.

    Raises:
        ImageError: It does not.
    """
    if path.suffix.lower() not in SAVE_OPTIONS:
        raise ImageError(
            f"{path}: cannot write {path.suffix or 'a file without suffix'!r}; "
            f"use one of {', '.join(SAVE_OPTIONS)}"
        )


def prepare_folder(path: Path) -> None:
    """Make the folder of an output and see that it can be written to, before any work is done.

    Raises:
        ImageError: It cannot.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(f"the folder of {path} cannot be made: {error}") from error
    if not os.access(path.parent, os.W_OK):
        raise ImageError(f"the folder of {path} cannot be written to")


def save_image(image: Image.Image, path: Path) -> None:
    """Write a picture in the format of the path's suffix, whole or not at all.

    An embedded colour profile (`image.info["icc_profile"]`) is kept. JPEG and BMP have no
    transparency: there the picture is laid on white.

    Raises:
        ImageError: No format has that suffix, or the file cannot be written.
    """
    check_suffix(path)
    suffix = path.suffix.lower()
    options = dict(SAVE_OPTIONS[suffix])
    if profile := image.info.get("icc_profile"):
        options["icc_profile"] = profile
    if suffix in {".jpg", ".jpeg", ".bmp"} and image.mode in {"LA", "RGBA"}:
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image.convert("RGBA")).convert(image.mode[:-1])
    if suffix not in {".png", ".tif", ".tiff"}:
        image = to_eight_bits(image)  # more these formats do not hold
    try:
        with write_whole(path) as partial:
            image.save(partial, **options)
    except (OSError, ValueError) as error:  # ValueError: larger than the format's limit
        raise ImageError(f"{path} cannot be written: {error}") from error
