"""Metadata of image files: colour profile, EXIF, XMP and resolution."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import Any

from PIL import ExifTags, Image, PngImagePlugin

from hsr_hub.images.formats import ImageFormat

_TIFF_STRUCTURE_RANGES = [
    (254, 259),  # size, bits, compression
    (262, 266),  # colour model, thresholds, fill order
    (273, 274),  # strips, orientation
    (277, 281),
    (284, 284),  # planes
    (288, 293),
    (297, 297),
    (301, 301),
    (317, 325),  # predictor, white point, palette, tiles
    (330, 330),  # sub-directories
    (332, 334),  # inks
    (336, 342),  # extra samples, sample format
    (347, 347),  # JPEG tables
    (512, 515),
    (517, 521),
    (529, 532),  # YCbCr
    (700, 700),  # XMP
    (33723, 33723),  # IPTC
    (34377, 34377),  # Photoshop
    (34675, 34675),  # colour profile
    (37724, 37724),  # Photoshop layers
]

TIFF_STRUCTURE = {tag for first, last in _TIFF_STRUCTURE_RANGES for tag in range(first, last + 1)}
"""EXIF tags that are not kept.

They say how a TIFF stores its pixels, give the orientation, or hold blocks that `Metadata` keeps
separately. A TIFF has them in the same directory as EXIF. In a new file they would be wrong.
"""

POINTERS = {int(ifd) for ifd in ExifTags.IFD}
"""Tags that hold the offset of another directory in the file."""

SIZE_TAGS = (ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight)


@dataclass(frozen=True)
class Metadata:
    """The metadata that a result inherits from its source.

    Orientation is not part of it, because images are turned upright when they are read.
    """

    icc_profile: bytes | None = None
    exif: bytes | None = None
    """As Pillow writes it; starts with b"Exif\\0\\0"."""
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None

    @classmethod
    def from_image(cls, image: Image.Image) -> Metadata:
        """Return the metadata of a Pillow image; broken blocks are left out."""
        info = image.info
        profile = info.get("icc_profile")
        xmp = info.get("xmp") or info.get("XML:com.adobe.xmp")
        if isinstance(xmp, tuple) and all(isinstance(part, bytes) for part in xmp):
            xmp = b"".join(xmp)
        if isinstance(xmp, str):
            xmp = xmp.encode(errors="replace")
        # A TIFF can hold numbers in the place of either.
        profile = profile if isinstance(profile, bytes) else b""
        xmp = xmp if isinstance(xmp, bytes) else b""
        dpi = info.get("dpi")
        try:
            dpi = tuple(float(value) for value in dpi) if dpi else None
        except (TypeError, ValueError, ZeroDivisionError):
            dpi = None
        return cls(
            icc_profile=profile or None,
            exif=_exif(image),
            xmp=_replace_xmp(xmp, "tiff:Orientation", "1") or None,
            dpi=dpi if dpi and len(dpi) == 2 and min(dpi) > 0 else None,
        )

    def resized(self, size: tuple[int, int], *, grey: bool) -> Metadata:
        """Return a copy for a result of another size.

        The pixel dimensions in EXIF and XMP are updated. A colour profile that does not fit the
        channels of the result is left out.

        Args:
            size: (width, height) of the result.
            grey: Whether the result is grey.
        """
        profile, exif, xmp = self.icc_profile, self.exif, self.xmp
        if profile and profile[16:20] != (b"GRAY" if grey else b"RGB "):
            profile = None
        if exif:
            tags = Image.Exif()
            tags.load(exif)
            details = tags.get_ifd(ExifTags.IFD.Exif)
            for tag, side in zip(SIZE_TAGS, size, strict=True):
                if tag in details:
                    details[tag] = side
            exif = tags.tobytes()
        if xmp:
            width, height = str(size[0]), str(size[1])
            xmp = _replace_xmp(xmp, "(?:tiff:Image|exif:)(?:Width|PixelXDimension)", width)
            xmp = _replace_xmp(xmp, "(?:tiff:Image|exif:)(?:Length|PixelYDimension)", height)
        return Metadata(icc_profile=profile, exif=exif, xmp=xmp, dpi=self.dpi)

    def info(self) -> dict[str, Any]:
        """Return the entries for `Image.info`."""
        return {key: value for key, value in vars(self).items() if value is not None}

    def save_options(self, image_format: ImageFormat) -> dict[str, Any]:
        """Return keyword arguments for `Image.save`, without what the format cannot hold."""
        storable = image_format.metadata
        options = {key: value for key, value in self.info().items() if key in storable}
        limit = image_format.max_metadata_bytes
        for key in ("exif", "xmp"):
            if limit is not None and len(options.get(key, b"")) > limit:
                del options[key]
        if "xmp" in options and image_format.name == "PNG":
            text = PngImagePlugin.PngInfo()
            text.add_itxt("XML:com.adobe.xmp", options.pop("xmp").decode(errors="replace"))
            options["pnginfo"] = text
        return options


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation from 1 to 8, or 1 if there is none or it cannot be read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about broken metadata
        try:
            value = image.getexif().get(ExifTags.Base.Orientation, 1)
        except Exception:  # broken metadata must not make an intact image unreadable
            return 1
    return value if value in range(1, 9) else 1


def _exif(image: Image.Image) -> bytes | None:
    """Return the EXIF data of an image as a new block without `TIFF_STRUCTURE`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tags = image.getexif()
            kept = Image.Exif()
            for tag, value in tags.items():
                if tag not in TIFF_STRUCTURE and tag not in POINTERS:
                    kept[tag] = value
            nested = {ifd: tags.get_ifd(ifd) for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)}
            if not (len(kept) or any(nested.values())):
                return None
            for ifd, entries in nested.items():
                if entries:
                    kept.get_ifd(ifd).update(entries)
            data = kept.tobytes()
            Image.Exif().load(data)  # raises if the block cannot be read again
            return data
        except Exception:  # broken metadata must not make an intact image unreadable
            return None


def _replace_xmp(xmp: bytes, name: str, value: str) -> bytes:
    """Change a property, which can be an attribute or an element; nothing is added."""
    for pattern in (rf"({name}\s*=\s*[\"'])[^\"'<]*", rf"(<{name}>)[^<]*(?=</)"):
        xmp = re.sub(pattern.encode(), rb"\g<1>" + value.encode(), xmp)
    return xmp
