"""Pictures in and out: files that may be hostile, modes, depths, metadata, whole writes.

Pillow reads and writes all but pictures of 16 bits with colours or an alpha, which it would cut to
8 bits: those go through libvips.
"""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from hsr_hub.images import sixteen_bit
from hsr_hub.images.atomic import atomic_write
from hsr_hub.images.metadata import Metadata
from hsr_hub.images.tiff import write_tiff

MAX_PIXELS = 89_478_485
"""Pixels that a file's header may promise before it is refused unread (Pillow's own limit)."""

READ_FORMATS = ["PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "GIF"]
"""Decoders that may see a file. Pillow has more; some start other programs (PostScript)."""

WRITE_FORMATS = {
    "png": "PNG",
    "jpg": "JPEG",
    "jpeg": "JPEG",
    "webp": "WEBP",
    "avif": "AVIF",
    "tif": "TIFF",
    "tiff": "TIFF",
    "bmp": "BMP",
}
"""Pillow's names by suffix."""

SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 4},  # 6 takes twice the time for a few per cent of the bytes
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True, "quality": 40, "method": 2},  # lossless: effort, not quality
    "AVIF": {"quality": 90, "subsampling": "4:4:4", "speed": 8},
    "BMP": {},
}
"""Settings that keep quality first."""

READ_SUFFIXES = {*(f".{name}" for name in WRITE_FORMATS), ".gif"}
"""Suffixes of the files that a folder's pictures are told by."""


class ImageError(ValueError):
    """A picture that cannot be read or written; the message says which, why and what to do."""


class ImageWarning(UserWarning):
    """A picture was read, but not as it stands: converted, or only the first of several."""


@dataclass
class ImageData:
    """A decoded picture, upright."""

    array: np.ndarray
    """(H,W) grey, (H,W,2) grey and alpha, (H,W,3) RGB or (H,W,4) RGB and alpha; uint8 or uint16."""
    metadata: Metadata = field(default_factory=Metadata)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.array.shape[1], self.array.shape[0]

    @property
    def grey(self) -> bool:
        """Whether it has no colours."""
        return self.array.ndim == 2 or self.array.shape[2] <= 2


def read_image(
    source: str | Path | BinaryIO, name: str | None = None, max_pixels: int = MAX_PIXELS
) -> ImageData:
    """A decoded picture of 8 or 16 bits with its metadata.

    Args:
        source: A path, or a binary file.
        name: What to call it in errors; by default the file's name.
        max_pixels: Larger ones are refused by their header alone.

    Raises:
        ImageError: The file is missing, empty, no picture, damaged, or too large.

    Warns:
        ImageWarning: It was converted (CMYK, Lab), or is the first of several frames.
    """
    name = name or (Path(source).name if isinstance(source, (str, Path)) else "the picture")
    with _opened(source, name, max_pixels) as image:
        try:
            if sixteen_bit.is_deep(image):
                array = sixteen_bit.read(source, image)
                _warn_of_conversion(image, name)
                return ImageData(array, Metadata.from_image(image))
            image.load()
        except Exception as error:
            raise ImageError(
                f"{name} is damaged or cut off ({error}): copy or download it again"
            ) from error
        try:
            plain = normalize_mode(image)
        except ImageError as error:
            raise ImageError(f"{name}: {error}") from error
        except Exception as error:
            raise ImageError(f"{name} cannot be converted to plain colours ({error})") from error
        _warn_of_conversion(image, name)
        return ImageData(np.array(plain), Metadata.from_image(plain))


def read_pil(
    source: str | Path | BinaryIO, name: str | None = None, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """As `read_image`, but a Pillow image: L, LA, RGB, RGBA or I;16, its metadata in `info`.

    Pillow has no colours of 16 bits: those become 8.
    """
    picture = read_image(source, name, max_pixels)
    return to_image(picture)


def _opened(source: str | Path | BinaryIO, name: str, max_pixels: int) -> ImageFile.ImageFile:
    """Pillow's image, its header read and its size judged, its pixels not yet decoded."""
    if isinstance(source, (str, Path)):
        path = Path(source)
        if not path.is_file():
            raise ImageError(f"{path}: there is no such file")
        if path.stat().st_size == 0:
            raise ImageError(f"{name} is empty (0 bytes): copy or download it again")
    too_large = (
        f"{name} promises more than {max_pixels / 1e6:.0f} megapixels and was not opened: "
        "make it smaller or cut it into parts"
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about sizes and metadata; ours follow
            image = Image.open(source, formats=READ_FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageError(too_large) from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name} is not a picture that can be read: "
            "give a PNG, JPEG, WebP, AVIF, TIFF or BMP file"
        ) from error
    except Exception as error:  # decoders raise whatever a broken header makes them trip over
        raise ImageError(f"{name} cannot be opened as a picture: {error}") from error
    if image.width * image.height > max_pixels:
        image.close()
        raise ImageError(too_large)
    for key in ("icc_profile", "xmp"):  # a TIFF may hold numbers there: Pillow would trip over them
        value = image.info.get(key)
        parts = value if isinstance(value, tuple) else (value,)
        if not all(isinstance(part, (bytes, str)) for part in parts):
            image.info.pop(key, None)
    return image


def _warn_of_conversion(image: Image.Image, name: str) -> None:
    if image.mode in {"CMYK", "LAB"}:
        guess = image.mode == "CMYK" and not image.info.get("icc_profile")
        by = " without a profile to go by: colours may differ" if guess else ""
        warnings.warn(f"{name}: {image.mode} converted to RGB{by}", ImageWarning, stacklevel=3)
    try:
        several = getattr(image, "is_animated", False)
    except Exception:  # what follows the first frame is broken
        several = True
    # Phones put a second picture behind the first of a JPEG (MPO): nobody counts that as a frame.
    if several and image.format != "MPO":
        warnings.warn(
            f"{name} holds several frames or pages: only the first is used",
            ImageWarning,
            stacklevel=3,
        )


def normalize_mode(image: Image.Image) -> Image.Image:
    """The same picture, upright, in L, LA, RGB, RGBA or I;16; `info` holds its `Metadata`.

    Raises:
        ImageError: The values have no range that is known.
    """
    metadata = Metadata.from_image(image)
    mode = image.mode
    if mode in {"CMYK", "LAB"}:
        image, profile = _to_srgb(image)
        metadata = Metadata(profile, metadata.exif, metadata.xmp, metadata.dpi)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about the metadata
        try:
            image = ImageOps.exif_transpose(image)
        except Exception:  # broken metadata are no reason to refuse a sound picture
            image = image.copy()
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
        wanted = "RGBA" if image.has_transparency_data else "RGB"
        plain = image if image.mode == wanted else image.convert(wanted)
    plain.info.clear()
    plain.info.update(metadata.resized(plain.size, grey=plain.mode in {"L", "LA", "I;16"}).info())
    return plain


def _to_srgb(image: Image.Image) -> tuple[Image.Image, bytes | None]:
    """CMYK or Lab as RGB, and the profile that it has then; a guess has none."""
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
                *(image, source, srgb, ImageCms.Intent.RELATIVE_COLORIMETRIC, "RGB"),
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
    except (ImageCms.PyCMSError, OSError):  # a broken profile: as if there were none
        pass
    profile = ImageCms.ImageCmsProfile(srgb).tobytes() if converted else None
    converted = converted or image.convert("RGB")
    # exif_transpose looks for the orientation here.
    converted.info["exif"] = image.info.get("exif", b"")
    return converted, profile


def to_array(image: Image.Image) -> np.ndarray:
    """(H,W) for grey, (H,W,2|3|4) else; uint8, or uint16 for I;16."""
    return np.array(normalize_mode(image))


def to_rgb(image: Image.Image) -> Image.Image:
    """The picture in 8-bit RGB, as metrics and training want it; transparency is dropped."""
    return to_eight_bits(normalize_mode(image)).convert("RGB")


def to_eight_bits(image: Image.Image) -> Image.Image:
    """I;16 as L: a rounded 257th is the 8-bit value of a 16-bit one. Other modes as they are."""
    if image.mode != "I;16":
        return image
    return Image.fromarray(_rounded(np.asarray(image)))


def _rounded(array: np.ndarray) -> np.ndarray:
    """uint16 to uint8; in whole numbers, as a float copy would be four times as large."""
    return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)


def to_image(picture: ImageData) -> Image.Image:
    """A Pillow image with the picture's metadata in `info`; 16-bit colours are cut to 8 bits."""
    array = picture.array
    if array.dtype == np.uint16 and array.ndim == 3:
        array = _rounded(array)
    image = Image.fromarray(array)
    image.info.update(picture.metadata.info())
    return image


def choose_format(path: Path, format: str | None = None) -> str:
    """Pillow's name of the format that a path's suffix means, or that was named.

    Raises:
        ImageError: It cannot be written.
    """
    name = (format or path.suffix[1:]).lower()
    if name not in WRITE_FORMATS:
        named = repr(format or path.suffix or "a file without suffix")
        raise ImageError(f"{path}: cannot write {named}; use one of {', '.join(WRITE_FORMATS)}")
    return WRITE_FORMATS[name]


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


def write_image(
    picture: ImageData, path: Path, *, format: str | None = None, quality: int | None = None
) -> None:
    """Write a picture with its metadata, whole or not at all.

    16-bit pictures stay so in PNG and TIFF and become 8-bit elsewhere. JPEG and BMP have no
    transparency: there the picture is laid on white.

    Args:
        picture: What to write.
        path: Where to.
        format: A key of `WRITE_FORMATS`; by default the path's suffix.
        quality: 1 to 100 for JPEG, WebP (lossless without it) and AVIF; others have none.

    Raises:
        ImageError: No such format, or the file cannot be written.
    """
    chosen = choose_format(path, format)
    deep = picture.array.dtype == np.uint16 and picture.array.ndim == 3
    try:
        with atomic_write(path) as partial:
            if chosen == "TIFF":
                write_tiff(picture.array, partial, picture.metadata)
            elif deep and chosen == "PNG":
                sixteen_bit.write_png(picture.array, partial, picture.metadata)
            else:
                _save(to_image(picture), partial, chosen, quality)
    except (OSError, ValueError) as error:  # ValueError: larger than the format's limit
        raise ImageError(f"{path} cannot be written: {error}") from error


def save_pil(
    image: Image.Image, path: Path, *, format: str | None = None, quality: int | None = None
) -> None:
    """Write a Pillow image with the metadata in its `info`; see `write_image`."""
    plain = normalize_mode(image)
    picture = ImageData(np.asarray(plain), Metadata.from_image(plain))
    write_image(picture, path, format=format, quality=quality)


def _save(image: Image.Image, path: Path, chosen: str, quality: int | None) -> None:
    options = {**SAVE_OPTIONS[chosen], **Metadata.from_image(image).save_options(chosen)}
    if quality is not None and chosen in {"JPEG", "WEBP", "AVIF"}:
        options["quality"] = quality
        options.pop("lossless", None)
    if chosen in {"JPEG", "BMP"} and image.mode in {"LA", "RGBA"}:
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image.convert("RGBA")).convert(image.mode[:-1])
    if chosen != "PNG":
        image = to_eight_bits(image)  # more these formats do not hold
    image.save(path, chosen, **options)
