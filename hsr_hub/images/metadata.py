"""What a picture's file says beside its pixels: colour profile, EXIF, XMP, resolution."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import Any

from PIL import ExifTags, Image, PngImagePlugin

TIFF_STRUCTURE = {
    *(254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281),
    *(284, 288, 289, 290, 291, 292, 293, 297, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325),
    *(330, 332, 333, 334, 336, 337, 338, 339, 340, 341, 342, 347, 512, 513, 514, 515, 517, 518),
    *(519, 520, 521, 529, 530, 531, 532, 700, 33723, 34377, 34675, 37724),
}
"""Tags that tell how a TIFF stores its pixels, or hold what is kept on its own, and orientation: in
a TIFF they stand among those of EXIF, and would be wrong in another file."""

POINTERS = {int(ifd) for ifd in ExifTags.IFD}
"""Tags that hold where in a file others stand."""

SIZE_TAGS = (ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight)

JPEG_SEGMENT = 65_502
"""Bytes of EXIF or XMP that a JPEG holds."""


@dataclass(frozen=True)
class Metadata:
    """What is kept of a file; orientation is not, as pixels are turned upright on reading."""

    icc_profile: bytes | None = None
    exif: bytes | None = None
    """As Pillow writes it, beginning with b"Exif\\0\\0"."""
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None

    @classmethod
    def from_image(cls, image: Image.Image) -> Metadata:
        """The metadata of an image as Pillow opened it; broken ones count as none."""
        info = image.info
        xmp = info.get("xmp") or info.get("XML:com.adobe.xmp")
        if isinstance(xmp, tuple) and all(isinstance(part, bytes) for part in xmp):
            xmp = b"".join(xmp)
        if isinstance(xmp, str):
            xmp = xmp.encode(errors="replace")
        profile = info.get("icc_profile")  # a TIFF may hold numbers in the place of either
        dpi = info.get("dpi")
        try:
            dpi = tuple(float(value) for value in dpi) if dpi else None
        except (TypeError, ValueError, ZeroDivisionError):
            dpi = None
        return cls(
            icc_profile=profile if profile and isinstance(profile, bytes) else None,
            exif=_exif(image),
            xmp=_upright_xmp(xmp) if xmp and isinstance(xmp, bytes) else None,
            dpi=dpi if dpi and len(dpi) == 2 and min(dpi) > 0 else None,
        )

    def resized(self, size: tuple[int, int], *, grey: bool) -> Metadata:
        """The same for a result: pixel dimensions corrected, a profile for other channels dropped.

        Args:
            size: (width, height) of the result.
            grey: Whether it has no colours.
        """
        profile, exif, xmp = self.icc_profile, self.exif, self.xmp
        # A profile for other channels than the result's (a CMYK picture's, say) would be wrong.
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
            for names, side in (("Width|PixelXDimension", 0), ("Length|PixelYDimension", 1)):
                xmp = _replace_xmp(xmp, f"(?:tiff:Image|exif:)(?:{names})", str(size[side]))
        return Metadata(icc_profile=profile, exif=exif, xmp=xmp, dpi=self.dpi)

    def info(self) -> dict[str, Any]:
        """For `Image.info`."""
        return {key: value for key, value in vars(self).items() if value is not None}

    def save_options(self, pillow_format: str) -> dict[str, Any]:
        """Keyword arguments of `Image.save` for a format; what it cannot hold is left out."""
        options = self.info()
        if pillow_format == "BMP":
            return {key: value for key, value in options.items() if key == "dpi"}
        if pillow_format == "JPEG":
            for key in ("exif", "xmp"):
                if len(options.get(key, b"")) > JPEG_SEGMENT:
                    del options[key]
        if pillow_format in {"WEBP", "AVIF"}:
            options.pop("dpi", None)
        if "xmp" in options and pillow_format == "PNG":
            text = PngImagePlugin.PngInfo()
            text.add_itxt("XML:com.adobe.xmp", options.pop("xmp").decode(errors="replace"))
            options["pnginfo"] = text
        return options


def orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 where there is none or it cannot be read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about the metadata
        try:
            value = image.getexif().get(ExifTags.Base.Orientation, 1)
        except Exception:  # broken metadata are no reason to refuse a sound picture
            return 1
    return value if value in range(1, 9) else 1


def _exif(image: Image.Image) -> bytes | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tags = image.getexif()
            kept = Image.Exif()
            for tag, value in tags.items():
                if tag not in TIFF_STRUCTURE and tag not in POINTERS:
                    kept[tag] = value
            folders = {ifd: tags.get_ifd(ifd) for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)}
            if not (len(kept) or any(folders.values())):
                return None
            for ifd, entries in folders.items():
                if entries:
                    kept.get_ifd(ifd).update(entries)
            data = kept.tobytes()
            Image.Exif().load(data)
            return data
        except Exception:  # see `orientation`
            return None


def _upright_xmp(xmp: bytes) -> bytes:
    return _replace_xmp(xmp, "tiff:Orientation", "1")


def _replace_xmp(xmp: bytes, name: str, value: str) -> bytes:
    """Set a property that is there, written as an attribute or as an element."""
    for pattern in (rf"({name}\s*=\s*[\"'])[^\"'<]*", rf"(<{name}>)[^<]*(?=</)"):
        xmp = re.sub(pattern.encode(), rb"\g<1>" + value.encode(), xmp)
    return xmp
