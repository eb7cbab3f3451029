"""Recognize files by their first bytes: images that are read, and what others are."""

from __future__ import annotations

import re
from pathlib import Path

from hsr_hub.images.formats import SIGNATURES

HEAD_BYTES = 64
"""Number of bytes at the start of a file that `image_format` and `describe` look at."""

RAW_SUFFIX = re.compile(
    r"\.(3fr|arw|cr2|cr3|crw|dcr|dng|erf|fff|gpr|iiq|kdc|mef|mos|mrw|nef|nrw|orf|pef|raf|raw|rw2|"
    r"rwl|sr2|srf|srw|x3f)",
    re.IGNORECASE,
)
"""Suffixes of raw files. Many of them are TIFF files inside."""

RAW = "a raw file of a camera"
DEVELOP = "develop it first, that is, export it as TIFF, PNG or JPEG in a raw converter"

_OTHERS = (
    (RAW, re.compile(rb"II\*\0....CR|IIRO|IIRS|MMOR|IIU\0|FUJIFILM|FOVb|\0MRM", re.DOTALL)),
    (RAW, re.compile(rb"II....HEAPCCDR|....ftypcrx ", re.DOTALL)),
    ("a PDF", re.compile(rb"%PDF")),
    ("a PostScript file", re.compile(rb"%!PS|\xc5\xd0\xd3\xc6")),
    ("a Photoshop file", re.compile(rb"8BPS")),
    ("a GIMP file", re.compile(rb"gimp xcf")),
    ("a JPEG XL image", re.compile(rb"\xff\x0a|\0\0\0\x0cJXL ")),
    ("a JPEG 2000 image", re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51")),
    ("an OpenEXR image", re.compile(rb"v/1\x01")),
    ("a Radiance HDR image", re.compile(rb"#\?RADIANCE|#\?RGBE")),
    ("an icon", re.compile(rb"\0\0[\x01\x02]\0[^\0]")),
    ("a drawing (SVG)", re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*)?<svg|<\?xml.*svg", re.DOTALL)),
    ("a web page", re.compile(rb"\s*<(!doctype )?html", re.IGNORECASE)),
    ("a Zip archive", re.compile(rb"PK\x03\x04")),
    ("a video", re.compile(rb"....ftyp(mp4|isom|iso2|qt  |M4V|avc1|3gp)", re.DOTALL)),
    ("a video", re.compile(rb"\x1aE\xdf\xa3|RIFF....AVI ", re.DOTALL)),
)


def image_format(head: bytes) -> str | None:
    """Return Pillow's name of the format that a file starts like, or None.

    Args:
        head: The first `HEAD_BYTES` bytes of the file.
    """
    for name, signature in SIGNATURES.items():
        if signature.match(head):
            return name
    return None


def describe(head: bytes, suffix: str = "") -> str | None:
    """Return what a file is that is not an image to be read, such as "a PDF", or None.

    Args:
        head: The first `HEAD_BYTES` bytes of the file.
        suffix: The suffix of its name, with the dot.
    """
    format = image_format(head)
    for name, pattern in _OTHERS:
        # Many raw files start like a TIFF.
        if pattern.match(head) and (format is None or name == RAW):
            return name
    if RAW_SUFFIX.fullmatch(suffix) and format in {"TIFF", None}:
        return RAW
    return None


def read_head(path: Path) -> bytes:
    """Return the first bytes of a file; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError:
        return b""
