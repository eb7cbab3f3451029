"""The file formats: suffixes, first bytes, save settings and what each format can hold.

To add a format, add an entry to `FORMATS` and a row to `docs/file-formats.md`, which a test
compares. If Pillow cannot read it, register a decoder as in `heif.py`. See "Add a file format" in
`docs/development.md` for the page and for animations.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from hsr_hub.images import heif
from hsr_hub.images.errors import ImageError

MAX_PIXELS = 89_478_485
"""Default limit of pixels in an image that is read; the same as Pillow's own limit."""

JPEG_SEGMENT = 65_502
"""Largest EXIF or XMP block in a JPEG, in bytes."""


@dataclass(frozen=True)
class ImageFormat:
    """A file format that is read, and written unless `written` is False."""

    name: str
    """Pillow's name of the format."""
    label: str
    """Its name for people."""
    suffixes: tuple[str, ...]
    """File name suffixes, without the dot."""
    signature: bytes | None = None
    """How its files start, as a regular expression; None if this cannot be told."""
    read_suffixes: tuple[str, ...] = ()
    """More suffixes of files that are read, but not written under this name."""
    written: bool = True
    """Whether this package writes it, if there is an encoder; see `writable`."""
    extra: str = ""
    """The optional dependency that brings its decoder; empty if it comes with Pillow."""
    lossy: bool = False
    """Whether its files have usually lost detail."""
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
    exif_positioning: bool = False
    """Whether EXIF in this format must say where the colour samples are."""
    animated: bool = False
    """Whether files with several frames and durations are read."""
    writes_animations: bool = False
    """Whether `animation.py` writes such files."""
    paged: bool = False
    """Whether the format stores several pages."""
    max_side: int | None = None
    """Largest width and height in pixels."""
    max_metadata_bytes: int | None = None
    """Largest block of EXIF, XMP and others; larger ones are left out."""

    @property
    def readable(self) -> bool:
        """Whether there is a decoder."""
        return self.name in Image.OPEN

    @property
    def writable(self) -> bool:
        """Whether the format is written and there is an encoder, which Pillow can lack."""
        return self.written and self.name in Image.SAVE

    @property
    def install_hint(self) -> str:
        """How to install the optional dependency; empty if there is none."""
        return f"install it by `pip install hsr-hub[{self.extra}]`" if self.extra else ""

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
            rb"\x89PNG\r\n\x1a\n",
            read_suffixes=("apng",),
            # Level 6 takes twice the time and saves only a few percent.
            settings={"compress_level": 4},
            sixteen_bit=True,
            animated=True,
            writes_animations=True,
            metadata=(*_COMMON, "iptc", "text", "comment"),
        ),
        ImageFormat(
            "JPEG",
            "JPEG",
            ("jpg", "jpeg", "jfif", "jpe"),
            rb"\xff\xd8\xff",
            read_suffixes=("mpo",),
            lossy=True,
            settings={"subsampling": 0},
            without_quality={"quality": 95},
            alpha=False,
            metadata=(*_COMMON, "iptc", "comment"),
            exif_positioning=True,
            max_side=65_500,
            max_metadata_bytes=JPEG_SEGMENT,
        ),
        ImageFormat(
            "WEBP",
            "WebP",
            ("webp",),
            rb"RIFF....WEBP",
            lossy=True,
            settings={"method": 2},
            # In a lossless file, "quality" is the effort of the compression.
            without_quality={"lossless": True, "quality": 40},
            animated=True,
            writes_animations=True,
            max_side=16_383,
        ),
        ImageFormat(
            "AVIF",
            "AVIF",
            ("avif",),
            # The brand "avif" can be the main one or one of the compatible ones.
            rb"....ftyp(avi[fs]|.{8}.*avif)",
            lossy=True,
            settings={"subsampling": "4:4:4", "speed": 8},
            without_quality={"quality": 90},
            animated=True,
            max_side=65_535,
        ),
        # Written by `tiff.py`, which needs no settings.
        ImageFormat(
            "TIFF",
            "TIFF",
            ("tif", "tiff"),
            rb"II\*\0|MM\0\*|II\+\0|MM\0\+",
            sixteen_bit=True,
            paged=True,
            metadata=(*_COMMON, "iptc"),
        ),
        ImageFormat(
            "BMP",
            "BMP",
            ("bmp",),
            rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
            alpha=False,
            metadata=("dpi",),
        ),
        ImageFormat(
            "GIF",
            "GIF",
            ("gif",),
            rb"GIF8[79]a",
            # Interlaced pixels are in another order, which `animation.py` does not expect.
            settings={"interlace": 0},
            animated=True,
            writes_animations=True,
            colours=256,
            metadata=("comment",),
        ),
        # A BMP without its file header.
        ImageFormat("DIB", "DIB", ("dib",), written=False),
        ImageFormat("DDS", "DDS", ("dds",), rb"DDS \x7c\0\0\0", written=False),
        # AVIF is before it, because both can have the brand "mif1".
        ImageFormat(
            "HEIF",
            "HEIC",
            ("heic", "heif", "hif", "heics", "heifs"),
            rb"....ftyp(he[iv][cmsx]|m[is]f1)",
            written=False,
            extra="heif",
            lossy=True,
        ),
    )
}
"""All formats, by Pillow's name. Files are opened by these decoders only: some of Pillow's others
start external programs (PostScript)."""

# Pillow and the optional packages tell here which decoders and encoders they have.
Image.init()
heif.register()

OPENED_FORMATS = [name for name, entry in FORMATS.items() if entry.readable]
"""Pillow's names of the formats that can be read here."""

SIGNATURES = {
    name: re.compile(entry.signature, re.DOTALL)
    for name, entry in FORMATS.items()
    if entry.signature is not None
}
"""How files start, by Pillow's name of their format."""

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
    entry = next((e for e in FORMATS.values() if e.written and suffix in e.suffixes), None)
    if entry is not None and entry.writable:
        return entry.name
    given = repr(format or path.suffix or "a file without suffix")
    fix = f"use one of {', '.join(WRITE_FORMATS)}"
    if entry is not None and entry.extra:
        fix = entry.install_hint
    raise ImageError(f"{path}: cannot write {given}; {fix}")
