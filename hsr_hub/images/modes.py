"""Conversion of Pillow images between modes and bit depths."""

from __future__ import annotations

import io
import warnings
from dataclasses import replace

import numpy as np
from PIL import Image, ImageCms, ImageOps

from hsr_hub.images.errors import ImageError
from hsr_hub.images.metadata import Metadata

CONVERTED_MODES = {"CMYK", "LAB"}
"""Modes whose colours are converted to sRGB."""

ROUNDED_VALUES = 1 << 18
"""Values that are rounded to 8 bits at a time."""


def normalize_mode(image: Image.Image) -> Image.Image:
    """Return the image upright and in L, LA, RGB, RGBA or I;16, with its `Metadata` in `info`.

    Raises:
        ImageError: The image is 32-bit or floating-point grey, whose range is unknown.
    """
    metadata = Metadata.from_image(image)
    mode = image.mode
    if mode in CONVERTED_MODES:
        image, profile = _to_srgb(image)
        metadata = replace(metadata, icc_profile=profile)
    image = _upright(image)
    if mode in {"I", "I;16", "I;16B", "I;16L", "I;16N"}:
        values = np.asarray(image)
        if mode == "I" and (values.min() < 0 or values.max() > 65535):
            raise ImageError("32-bit grey has no fixed range: convert it to 8 or 16 bits first")
        normalized = Image.fromarray(values.astype(np.uint16))
    elif mode == "F":
        raise ImageError("floating-point grey has no fixed range: convert it to 8 or 16 bits first")
    elif mode in {"1", "L", "LA", "La"}:
        normalized = image.convert("LA" if image.has_transparency_data else "L")
    else:
        wanted = "RGBA" if image.has_transparency_data else "RGB"
        normalized = image if image.mode == wanted else image.convert(wanted)
    grey = normalized.mode in {"L", "LA", "I;16"}
    normalized.info.clear()
    normalized.info.update(metadata.resized(normalized.size, grey=grey).info())
    return normalized


def _upright(image: Image.Image) -> Image.Image:
    """Return a copy, turned as its EXIF orientation says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about broken metadata
        try:
            return ImageOps.exif_transpose(image)
        except Exception:  # broken metadata must not make an intact image unreadable
            return image.copy()


def _to_srgb(image: Image.Image) -> tuple[Image.Image, bytes | None]:
    """Convert CMYK or Lab to RGB.

    Returns:
        The RGB image and its profile. Without a usable profile in the source, the conversion is
        Pillow's approximation and the profile is None.
    """
    srgb = ImageCms.createProfile("sRGB")
    embedded = image.info.get("icc_profile")
    converted = None
    try:
        source = None
        if image.mode == "LAB":
            source = ImageCms.createProfile("LAB")
        elif embedded and embedded[16:20] == b"CMYK":
            source = ImageCms.ImageCmsProfile(io.BytesIO(embedded))
        if source is not None:
            converted = ImageCms.profileToProfile(
                image,
                source,
                srgb,
                renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
                outputMode="RGB",
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
    except (ImageCms.PyCMSError, OSError):  # a broken profile counts as none
        pass
    profile = ImageCms.ImageCmsProfile(srgb).tobytes() if converted else None
    converted = converted or image.convert("RGB")
    # exif_transpose reads the orientation from here.
    converted.info["exif"] = image.info.get("exif", b"")
    return converted, profile


def to_array(image: Image.Image) -> np.ndarray:
    """Return a Pillow image as an array, upright.

    Returns:
        (H,W) for grey, (H,W,2) for grey and alpha, (H,W,3) for RGB, (H,W,4) for RGB and alpha;
        uint8, or uint16 for 16-bit grey.
    """
    return np.array(normalize_mode(image))


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the image in 8-bit RGB, upright and without its alpha."""
    return to_eight_bits(normalize_mode(image)).convert("RGB")


def to_eight_bits(image: Image.Image) -> Image.Image:
    """Return 16-bit grey (I;16) as 8-bit grey (L), and any other image unchanged."""
    if image.mode != "I;16":
        return image
    return Image.fromarray(round_to_eight_bits(np.asarray(image)))


def to_palette(image: Image.Image) -> Image.Image:
    """Return an image with 256 colours, one of which is transparent if the image has alpha."""
    if image.mode not in {"LA", "RGBA"}:
        return image.convert("P", palette=Image.Palette.ADAPTIVE, colors=256)
    colours = image.convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE, colors=255)
    transparent = np.asarray(image.getchannel("A")) < 128
    result = Image.fromarray(np.where(transparent, 255, np.asarray(colours)).astype(np.uint8))
    result.putpalette((colours.getpalette() or []) + [0] * 3)
    result.info["transparency"] = 255
    return result


def round_to_eight_bits(array: np.ndarray) -> np.ndarray:
    """Return a uint16 array as uint8: 65535 becomes 255, so values are divided by 257."""
    result = np.empty(array.shape, np.uint8)
    # Some rows at a time, because the values between need twice the memory of the array.
    step = max(1, ROUNDED_VALUES // max(1, array[:1].size))
    for top in range(0, len(array), step):
        result[top : top + step] = (array[top : top + step].astype(np.uint32) + 128) // 257
    return result
