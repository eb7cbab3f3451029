"""Metadata of image files: colour profile, EXIF, XMP, IPTC, texts and resolution."""

from __future__ import annotations

import re
import struct
import warnings
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from PIL import ExifTags, Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from hsr_hub.images import exif as exif_blocks
from hsr_hub.images import iptc as iptc_blocks
from hsr_hub.images.exif import ExifBlock, ExifError
from hsr_hub.images.formats import ImageFormat
from hsr_hub.images.xmp import drop_lost_parts, replace_property

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
    (529, 530),  # YCbCr
    (532, 532),
    (700, 700),  # XMP
    (33550, 33550),  # GeoTIFF, whose pixels have other places in a result
    (33723, 33723),  # IPTC
    (33922, 33922),
    (34264, 34264),
    (34377, 34377),  # Photoshop
    (34675, 34675),  # colour profile
    (34735, 34737),
    (37724, 37724),  # Photoshop layers
    (42112, 42113),
    (50706, 51200),  # raw data of DNG
]

TIFF_STRUCTURE = {tag for first, last in _TIFF_STRUCTURE_RANGES for tag in range(first, last + 1)}
"""EXIF tags that are not kept.

They say how a TIFF stores its pixels, give the orientation, or hold blocks that `Metadata` keeps
separately. A TIFF has them in the same directory as EXIF. In a new file they would be wrong.
"""

POINTERS = {330, 37500, *(int(ifd) for ifd in ExifTags.IFD)}
"""Tags of the main directory that hold the offset of another one in the file."""

IPTC_TAG, XMP_TAG = 33723, 700

RESOLUTION_TAGS = (282, 283, 296)

SIZE_TAGS = (ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight)

USER_COMMENT = 0x9286

PARAMETERS = "parameters"
"""Key of the text in which image generators store their prompt and settings."""

STAMP_KEY = "hsr-hub"
"""Key of a text with `Metadata.stamp`, and the start of each stamp."""

NOTES_KEY = "hsr-hub-notes"
"""Key of a text that says what was converted or left out when the source was read."""

STAMP_IN_SOFTWARE = re.compile(rb"(?:^|; )(hsr-hub [^;\0]*)\0*$")
"""A stamp at the end of the EXIF tag for software."""

TEXTS_WITHOUT_PLACES = (PARAMETERS, "prompt", "workflow", "software", "copyright", STAMP_KEY)
"""Starts of the keys of PNG texts, in lower case, that name no place. Others can, because some
programs copy all of EXIF, as "exif:GPSLatitude" or as "Raw profile type APP1"."""

MAX_DPI = 30_000
"""A resolution of 1 dpi or less, or of more than this, is a placeholder or an error."""

COMMENT_KEY = "Comment"
"""Key of the PNG text that is the comment in other formats."""

MAX_NAMED_TEXTS, MAX_KEY_LENGTH = 5, 79
"""How many texts a sentence names, and how many characters of each key: as many as a PNG allows.
A file that is made to do harm has thousands of texts, or a key of megabytes."""

SKIPPED_TEXTS = (
    # They are about one result, and a result of it is another one.
    STAMP_KEY,
    NOTES_KEY,
    # Other fields of `Metadata`, or dates of a file.
    "XML:com.adobe.xmp",
    "Raw profile type",
    "date:",
)
"""Starts of the keys of PNG texts that `Metadata.text` does not have."""


@dataclass(frozen=True)
class Metadata:
    """The metadata that a result inherits from its source.

    Orientation is not part of it, because images are turned upright when they are read.
    """

    icc_profile: bytes | None = None
    exif: bytes | None = None
    """Starts with b"Exif\\0\\0"."""
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    iptc: bytes | None = None
    """Caption, keywords and more, as JPEG and TIFF store them."""
    comment: bytes | None = None
    """The comment of a JPEG or GIF, or the text "Comment" of a PNG."""
    text: dict[str, str] | None = None
    """The other texts of a PNG, such as the prompts of image generators."""
    stamp: str | None = None
    """The settings that made a result, such as "hsr-hub 4x hsr-lite-x4"."""

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
        xmp = drop_lost_parts(xmp) if isinstance(xmp, bytes) else b""
        exif, texts = _exif(image), _texts(image)
        return cls(
            icc_profile=profile or None,
            exif=exif,
            xmp=replace_property(xmp, "tiff:Orientation", "1") or None,
            dpi=_resolution(image, exif),
            iptc=_iptc(info, texts),
            comment=_comment(info, texts),
            text=_other_texts(texts),
        )

    def with_tiff(self, file: BinaryIO) -> Metadata:
        """Return a copy with EXIF and IPTC as they are in a TIFF file.

        Pillow translates them, and loses letters beyond ASCII.
        """
        try:
            block = ExifBlock.parse(file, skip=TIFF_STRUCTURE - {IPTC_TAG})
        except ExifError:  # a BigTIFF
            return self
        iptc = block.get(exif_blocks.MAIN).pop(IPTC_TAG, None)
        block.get(exif_blocks.MAIN).pop(ExifTags.Base.YCbCrPositioning, None)
        return replace(self, exif=_clean(block), iptc=iptc.data if iptc else None)

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
            block = _parsed(exif)
            details = block.get(exif_blocks.EXIF)
            for tag, side in zip(SIZE_TAGS, size, strict=True):
                if tag in details:
                    details[tag] = block.integers(exif_blocks.LONG, side)
            exif = _block_bytes(block)
        if xmp:
            width, height = str(size[0]), str(size[1])
            xmp = replace_property(xmp, "(?:tiff:Image|exif:)(?:Width|PixelXDimension)", width)
            xmp = replace_property(xmp, "(?:tiff:Image|exif:)(?:Length|PixelYDimension)", height)
        return replace(self, icc_profile=profile, exif=exif, xmp=xmp)

    def stripped(self) -> Metadata:
        """Return a copy with the colour profile and the print resolution only.

        Both change how the image looks or prints.
        """
        return Metadata(icc_profile=self.icc_profile, dpi=self.dpi)

    def without_location(self) -> Metadata:
        """Return a copy without the place where the photo was taken."""
        exif = self.exif
        if exif:
            block = _parsed(exif)
            block.directories.pop(exif_blocks.GPS, None)
            exif = _block_bytes(block)
        # IPTC, XMP and comments name places in many ways.
        xmp = drop_lost_parts(self.xmp, location=True) if self.xmp else None
        text = {
            key: value
            for key, value in (self.text or {}).items()
            if key.lower().startswith(TEXTS_WITHOUT_PLACES)
        }
        return replace(self, exif=exif, xmp=xmp or None, iptc=None, comment=None, text=text or None)

    def info(self) -> dict[str, Any]:
        """Return the entries for `Image.info`."""
        entries = {key: value for key, value in vars(self).items() if value is not None}
        entries.pop("stamp", None)
        return entries

    def fit(self, image_format: ImageFormat) -> tuple[Metadata, list[str]]:
        """Return the part that a format can hold, and the names of what it cannot hold.

        The generator's settings in a PNG's texts become the EXIF user comment in other formats.
        """
        fitted = self._with_stamp(image_format)
        lost: list[str] = []
        holds_exif = "exif" in image_format.metadata
        if self.text and "text" not in image_format.metadata:
            texts = dict(self.text)
            if PARAMETERS in texts and holds_exif:
                exif = _with_user_comment(fitted.exif, texts.pop(PARAMETERS))
                fitted = replace(fitted, exif=exif)
            lost += _names_of_texts(list(texts))
            fitted = replace(fitted, text=None)
        if fitted.exif and image_format.exif_positioning:
            fitted = replace(fitted, exif=_with_positioning(fitted.exif))
        if self.dpi and "dpi" not in image_format.metadata and holds_exif:
            fitted = replace(fitted, exif=_with_resolution(fitted.exif, self.dpi), dpi=None)
        limit = image_format.max_metadata_bytes
        for key, name in FIELD_NAMES.items():
            value = getattr(fitted, key)
            if value is None:
                continue
            too_long = limit is not None and key in LIMITED_FIELDS and len(value) > limit
            if key not in image_format.metadata or too_long:
                lost.append(name)
                fitted = replace(fitted, **{key: None})
        return fitted, lost

    def _with_stamp(self, image_format: ImageFormat) -> Metadata:
        """Return a copy with the stamp in a text, in the comment, or behind the camera's software.

        A BMP has none of them.
        """
        if not self.stamp:
            return self
        if "text" in image_format.metadata:
            return replace(self, text={**(self.text or {}), STAMP_KEY: self.stamp}, stamp=None)
        data = self.stamp.encode("ascii", "replace")
        if "comment" in image_format.metadata and not self.comment:
            return replace(self, comment=data, stamp=None)
        if "exif" not in image_format.metadata:
            return replace(self, stamp=None)
        block = _parsed(self.exif)
        main = block.get(exif_blocks.MAIN)
        software = main.get(ExifTags.Base.Software)
        if software and (before := software.data.rstrip(b"\0 ")):
            data = before + b"; " + data
        main[ExifTags.Base.Software] = exif_blocks.Entry(exif_blocks.ASCII, data + b"\0")
        return replace(self, exif=_block_bytes(block), stamp=None)

    def save_options(self, image_format: ImageFormat) -> dict[str, Any]:
        """Return keyword arguments for `Image.save`, of metadata that `fit` returned."""
        options = self.info()
        if "text" in image_format.metadata:  # Pillow takes all texts of a PNG as one object
            for key in ("xmp", "iptc", "text", "comment"):
                options.pop(key, None)
            options["pnginfo"] = self.png_texts()
        if iptc := options.pop("iptc", None):
            options["extra"] = iptc_blocks.to_jpeg_segment(iptc)
        return options

    def png_texts(self) -> PngImagePlugin.PngInfo:
        """Return the text chunks of a PNG: texts, comment, IPTC and XMP."""
        chunks = PngImagePlugin.PngInfo()
        texts = dict(self.text or {})
        if self.comment:
            texts[COMMENT_KEY] = _decoded(self.comment)
        if self.iptc:
            texts[iptc_blocks.PNG_KEY] = iptc_blocks.to_png_text(self.iptc)
        for key, value in texts.items():
            # Latin-1 is all that a key, and a chunk of the older type, can hold.
            chunks.add_text(key.encode("latin-1", "replace"), value)
        if self.xmp:
            chunks.add_itxt("XML:com.adobe.xmp", self.xmp.decode(errors="replace"))
        return chunks


FIELD_NAMES = {
    "icc_profile": "colour profile",
    "exif": "EXIF",
    "xmp": "XMP",
    "iptc": "IPTC caption and keywords",
    "comment": "comment",
    "dpi": "print resolution",
}
"""Fields of `Metadata` that `fit` leaves out, with their names for users."""

LIMITED_FIELDS = {"exif", "xmp", "iptc", "comment"}


def find_stamp(image: Image.Image) -> str | None:
    """Return the stamp of an opened image that is a result of this program, or None."""
    stamp = image.info.get(STAMP_KEY)
    if isinstance(stamp, str):
        return stamp
    comment = image.info.get("comment")
    if isinstance(comment, bytes) and (match := STAMP_IN_SOFTWARE.match(comment)):
        return match[1].decode("ascii", "replace")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        software = image.getexif().get(ExifTags.Base.Software)
    if isinstance(software, str) and (match := STAMP_IN_SOFTWARE.search(software.encode())):
        return match[1].decode("ascii", "replace")
    return None


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
    data = image.info.get("exif")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            if not isinstance(data, bytes) or not data:
                tags = image.getexif()
                tags.get_ifd(ExifTags.IFD.Interop) if ExifTags.IFD.Exif in tags else None
                data = tags.tobytes() if len(tags) else b""
            return _clean(ExifBlock.parse(data)) if data else None
        except Exception:  # broken metadata must not make an intact image unreadable
            return None


def _clean(block: ExifBlock) -> bytes | None:
    """Return a block without `TIFF_STRUCTURE`, absurd resolutions and the stamp of a result."""
    main = block.get(exif_blocks.MAIN)
    for tag in main.keys() & (TIFF_STRUCTURE | POINTERS):
        del main[tag]
    software = main.pop(ExifTags.Base.Software, None)
    if software and (kept := STAMP_IN_SOFTWARE.sub(b"\0", software.data)) != b"\0":
        main[ExifTags.Base.Software] = replace(software, data=kept)
    sides = [_rational(block, main[tag]) for tag in RESOLUTION_TAGS[:2] if tag in main]
    if not all(1 < side <= MAX_DPI for side in sides):
        for tag in RESOLUTION_TAGS:
            main.pop(tag, None)
        if block:
            # The standard demands a resolution, and this value where it is unknown.
            unknown = block.rational(72), block.rational(72), block.integers(exif_blocks.SHORT, 2)
            main |= dict(zip(RESOLUTION_TAGS, unknown, strict=True))
    return _block_bytes(block)


def _rational(block: ExifBlock, entry: exif_blocks.Entry) -> float:
    if len(entry.data) != 8:
        return 0
    numerator, denominator = struct.unpack(f"{block.order}2I", entry.data)
    return numerator / denominator if denominator else 0


def _resolution(image: Image.Image, exif: bytes | None) -> tuple[float, float] | None:
    """Return the resolution that a file states; Pillow invents some."""
    is_tiff = isinstance(image, TiffImagePlugin.TiffImageFile)
    if is_tiff and RESOLUTION_TAGS[0] not in image.tag_v2:
        return None
    is_jpeg = isinstance(image, JpegImagePlugin.JpegImageFile)
    in_header = image.info.get("jfif_unit") in {1, 2}
    if is_jpeg and not in_header and RESOLUTION_TAGS[0] not in _parsed(exif).get(exif_blocks.MAIN):
        return None
    try:
        horizontal, vertical = (float(value) for value in image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    if not (1 < horizontal <= MAX_DPI and 1 < vertical <= MAX_DPI):
        return None
    return horizontal, vertical


def _comment(info: dict[Any, Any], texts: dict[str, str]) -> bytes | None:
    """Return the comment of a JPEG, GIF or PNG that is no stamp."""
    comment = info.get("comment")
    if COMMENT_KEY in texts:
        comment = texts[COMMENT_KEY].encode()
    if not isinstance(comment, bytes) or not comment or STAMP_IN_SOFTWARE.match(comment):
        return None
    return comment


def _decoded(comment: bytes) -> str:
    """Return a comment as text; its encoding is not stored, and older programs use Latin-1."""
    try:
        return comment.decode()
    except UnicodeDecodeError:
        return comment.decode("latin-1")


def _iptc(info: dict[Any, Any], texts: dict[str, str]) -> bytes | None:
    """Return the IPTC block of a JPEG or PNG, or that of `Metadata.info`."""
    blocks = info.get("photoshop")
    iptc = blocks.get(iptc_blocks.BLOCK_NUMBER) if isinstance(blocks, dict) else info.get("iptc")
    if iptc_blocks.PNG_KEY in texts:
        iptc = iptc_blocks.from_png_text(texts[iptc_blocks.PNG_KEY])
    return iptc if isinstance(iptc, bytes) and iptc else None


def _texts(image: Image.Image) -> dict[str, str]:
    """Return all texts of a PNG, or those of `Metadata.info`."""
    texts = image.info.get("text")
    if isinstance(image, PngImagePlugin.PngImageFile):
        try:
            texts = image.text
        except Exception:  # broken texts must not make an intact image unreadable
            return {}
    if not isinstance(texts, dict):
        return {}
    return {key: str(value) for key, value in texts.items() if isinstance(value, str)}


def _other_texts(texts: dict[str, str]) -> dict[str, str] | None:
    """Return the texts of a PNG that are in no other field of `Metadata`."""
    return {
        key: value
        for key, value in texts.items()
        if key != COMMENT_KEY and not key.startswith(SKIPPED_TEXTS)
    } or None


def _names_of_texts(keys: list[str]) -> list[str]:
    """Return names of texts for users, of which there are few and short ones."""
    names = [f"text {key[:MAX_KEY_LENGTH]!r}" for key in keys[:MAX_NAMED_TEXTS]]
    more = len(keys) - MAX_NAMED_TEXTS
    return [*names, f"{more} more texts"] if more > 0 else names


def _parsed(exif: bytes | None) -> ExifBlock:
    """Return EXIF as directories; empty if there is none or if it is broken."""
    try:
        return ExifBlock.parse(exif) if exif else ExifBlock()
    except ExifError:
        return ExifBlock()


def _block_bytes(block: ExifBlock) -> bytes | None:
    return exif_blocks.PREFIX + block.tobytes() if block else None


def _with_user_comment(exif: bytes | None, text: str) -> bytes | None:
    """Return EXIF with a user comment, unless it has one."""
    block = _parsed(exif)
    # Programs for prompts expect this byte order, whatever that of the block is.
    data = b"UNICODE\0" + text.encode("utf-16-be", "replace")
    details = block.get(exif_blocks.EXIF)
    details.setdefault(USER_COMMENT, exif_blocks.Entry(exif_blocks.UNDEFINED, data))
    return _block_bytes(block)


def _with_resolution(exif: bytes | None, dpi: tuple[float, float]) -> bytes | None:
    """Return EXIF with a resolution, unless it has one."""
    block = _parsed(exif)
    main = block.get(exif_blocks.MAIN)
    if RESOLUTION_TAGS[0] not in main:
        horizontal, vertical = (block.rational(value) for value in dpi)
        inches = block.integers(exif_blocks.SHORT, 2)
        main |= dict(zip(RESOLUTION_TAGS, (horizontal, vertical, inches), strict=True))
    return _block_bytes(block)


def _with_positioning(exif: bytes) -> bytes | None:
    """Return EXIF with the place of colour samples, which the standard demands in a JPEG."""
    block = _parsed(exif)
    centred = block.integers(exif_blocks.SHORT, 1)
    block.get(exif_blocks.MAIN).setdefault(ExifTags.Base.YCbCrPositioning, centred)
    return _block_bytes(block)
