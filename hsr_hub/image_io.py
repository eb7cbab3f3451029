"""Pictures in and out: files that may be hostile, modes, arrays, whole writes."""

from __future__ import annotations

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
            image = Image.open(source)
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
            upright = ImageOps.exif_transpose(image)
            return _to_plain_mode(upright)
        except ImageError:
            raise
        except Exception as error:
            raise ImageError(
                f"{name} is damaged or cut off ({error}): copy or download it again"
            ) from error


def _to_plain_mode(image: Image.Image) -> Image.Image:
    """The same picture in L, LA, RGB, RGBA or I;16."""
    mode = image.mode
    if mode in {"L", "LA", "RGB", "RGBA", "I;16"}:
        return image if mode == "LA" or "transparency" not in image.info else image.convert("RGBA")
    if mode in {"I;16B", "I;16L", "I;16N"}:
        return Image.fromarray(np.asarray(image).astype(np.uint16))
    if mode == "I":  # how older Pillow versions open a 16-bit grey PNG
        return Image.fromarray(np.asarray(image).clip(0, 65535).astype(np.uint16))
    if mode == "F":
        raise ImageError("floating-point TIFF has no fixed range: convert it to 8 or 16 bits first")
    if mode == "1":
        return image.convert("L")
    if mode in {"PA", "La", "RGBa"} or image.has_transparency_data:
        return image.convert("LA" if mode == "La" else "RGBA")
    return image.convert("RGB")


def to_array(image: Image.Image) -> np.ndarray:
    """(H,W) for grey, (H,W,2|3|4) else; uint8, or uint16 for I;16."""
    return np.array(_to_plain_mode(image))


def from_array(array: np.ndarray) -> Image.Image:
    """The picture of what `to_array` gave."""
    return Image.fromarray(array)


def check_output(path: Path) -> None:
    """Refuse a path that `save_image` would refuse, before any work is done for it.

    Raises:
        ImageError: No format has that suffix, or the folder cannot be made.
    """
    if path.suffix.lower() not in SAVE_OPTIONS:
        raise ImageError(
            f"{path}: cannot write {path.suffix or 'a file without suffix'!r}; "
            f"use one of {', '.join(SAVE_OPTIONS)}"
        )


def save_image(image: Image.Image, path: Path) -> None:
    """Write a picture in the format of the path's suffix, whole or not at all.

    An embedded colour profile (`image.info["icc_profile"]`) is kept. JPEG and BMP have no
    transparency: there the picture is laid on white.

    Raises:
        ImageError: No format has that suffix, or the file cannot be written.
    """
    check_output(path)
    suffix = path.suffix.lower()
    options = dict(SAVE_OPTIONS[suffix])
    if profile := image.info.get("icc_profile"):
        options["icc_profile"] = profile
    if suffix in {".jpg", ".jpeg", ".bmp"} and image.mode in {"LA", "RGBA"}:
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image.convert("RGBA")).convert(image.mode[:-1])
    if suffix not in {".png", ".tif", ".tiff"} and image.mode == "I;16":
        # These formats hold 8 bits; a rounded 257th is the 8-bit value of a 16-bit one.
        image = Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8))
    try:
        with write_whole(path) as partial:
            image.save(partial, **options)
    except OSError as error:
        raise ImageError(f"{path} cannot be written: {error}") from error
