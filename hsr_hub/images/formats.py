"""The file formats: suffixes, save settings and what each format can hold.

To add a format, add an entry to `FORMATS`, its first bytes to `identify.py` and a row to
`docs/file-formats.md`, which a test compares. If Pillow cannot read it, add a decoder as in
`heif.py`. The page has its own, shorter list in `webapp/downloads.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hsr_hub.images.errors import ImageError

MAX_PIXELS = 89_478_485
"""Default limit of pixels in an image that is read; the same as Pillow's own limit."""

JPEG_SEGMENT = 65_502
"""Largest EXIF or XMP block in a JPEG, in bytes."""


@dataclass(frozen=True)
class ImageFormat:
    """A file format that is read, and written unless `writable` is False."""

    name: str
    """Pillow's name of the format."""
    label: str
    """Its name for people."""
    suffixes: tuple[str, ...]
    """File name suffixes, without the dot."""
    read_suffixes: tuple[str, ...] = ()
    """More suffixes of files that are read, but not written under this name."""
    writable: bool = True
    settings: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments for `Image.save`."""
    without_quality: dict[str, Any] = field(default_factory=dict)
    """More of them if the user chooses no quality; empty if the format has no quality."""
    alpha: bool = True
    """Whether the format stores transparency."""
    sixteen_bit: bool = False
    """Whether the format stores 16 bits per channel."""
    colours: int | None = None
    """Largest number of colours of an image, if it has a palette."""
    metadata: tuple[str, ...] = ("icc_profile", "exif", "xmp")
    """The fields of `Metadata` that the format stores."""
    animated: bool = False
    """Whether the format stores several frames with durations, and `animation.py` writes them."""
    paged: bool = False
    """Whether the format stores several pages."""
    max_side: int | None = None
    """Largest width and height in pixels."""
    max_metadata_bytes: int | None = None
    """Largest block of EXIF, XMP and others; larger ones are left out."""

    def save_settings(self, quality: int | None = None) -> dict[str, Any]:
        """Return keyword arguments for `Image.save`, at a quality from 1 to 100 or the default."""
        if quality is None or not self.without_quality:
            return {**self.settings, **self.without_quality}
        return {**self.settings, "quality": quality}


_COMMON = ("icc_profile", "exif", "xmp", "dpi")

FORMATS = {
    entry.name: entry
    for entry in (
        ImageFormat(
            "PNG",
            "PNG",
            ("png",),
            ("apng",),
            # Level 6 takes twice the time and saves only a few percent.
            settings={"compress_level": 4},
            sixteen_bit=True,
            animated=True,
            metadata=(*_COMMON, "text", "comment"),
        ),
        ImageFormat(
            "JPEG",
            "JPEG",
            ("jpg", "jpeg", "jfif", "jpe"),
            ("mpo",),
            settings={"subsampling": 0},
            without_quality={"quality": 95},
            alpha=False,
            metadata=(*_COMMON, "iptc", "comment"),
            max_side=65_500,
            max_metadata_bytes=JPEG_SEGMENT,
        ),
        ImageFormat(
            "WEBP",
            "WebP",
            ("webp",),
            settings={"method": 2},
            # In a lossless file, "quality" is the effort of the compression.
            without_quality={"lossless": True, "quality": 40},
            animated=True,
            max_side=16_383,
        ),
        ImageFormat(
            "AVIF",
            "AVIF",
            ("avif",),
            settings={"subsampling": "4:4:4", "speed": 8},
            without_quality={"quality": 90},
            max_side=65_535,
        ),
        # Written by `tiff.py`, which needs no settings.
        ImageFormat(
            "TIFF",
            "TIFF",
            ("tif", "tiff"),
            sixteen_bit=True,
            paged=True,
            metadata=(*_COMMON, "iptc"),
        ),
        ImageFormat("BMP", "BMP", ("bmp",), alpha=False, metadata=("dpi",)),
        ImageFormat(
            "GIF",
            "GIF",
            ("gif",),
            # Interlaced pixels are in another order, which `animation.py` does not expect.
            settings={"interlace": 0},
            animated=True,
            colours=256,
            metadata=("comment",),
        ),
        # A BMP without its file header.
        ImageFormat("DIB", "DIB", ("dib",), writable=False),
        ImageFormat("DDS", "DDS", ("dds",), writable=False),
        # Needs the extra "heif". AVIF is before it, because both can have the brand "mif1".
        ImageFormat("HEIF", "HEIC", ("heic", "heif", "hif", "heics", "heifs"), writable=False),
    )
}
"""All formats, by Pillow's name. Files are opened by these decoders only: some of Pillow's others
start external programs (PostScript)."""

READ_SUFFIXES = {
    f".{suffix}" for entry in FORMATS.values() for suffix in (*entry.suffixes, *entry.read_suffixes)
}
"""Suffixes of image files."""

WRITE_FORMATS = {
    suffix: entry.name for entry in FORMATS.values() if entry.writable for suffix in entry.suffixes
}
"""Pillow's format names by suffix, for the formats that can be written."""


def choose_format(path: Path, format: str | None = None) -> str:
    """Return Pillow's name of the format to write.

    Args:
        path: The output file; its suffix decides if `format` is not given.
        format: A suffix without the dot, a key of `WRITE_FORMATS`.

    Raises:
        ImageError: The format is unknown or cannot be written.
    """
    suffix = (format or path.suffix[1:]).lower()
    if suffix not in WRITE_FORMATS:
        given = repr(format or path.suffix or "a file without suffix")
        raise ImageError(f"{path}: cannot write {given}; use one of {', '.join(WRITE_FORMATS)}")
    return WRITE_FORMATS[suffix]
