"""Images as files and as pixels: reading, writing, metadata, 16 bits."""

from hsr_hub.images.atomic import atomic_write
from hsr_hub.images.io import (
    READ_SUFFIXES,
    WRITE_FORMATS,
    ImageData,
    ImageError,
    ImageWarning,
    choose_format,
    normalize_mode,
    prepare_folder,
    read_image,
    read_pil,
    save_pil,
    to_array,
    to_eight_bits,
    to_image,
    to_rgb,
    write_image,
)
from hsr_hub.images.metadata import JPEG_SEGMENT, Metadata

__all__ = [
    "JPEG_SEGMENT",
    "READ_SUFFIXES",
    "WRITE_FORMATS",
    "ImageData",
    "ImageError",
    "ImageWarning",
    "Metadata",
    "atomic_write",
    "choose_format",
    "normalize_mode",
    "prepare_folder",
    "read_image",
    "read_pil",
    "save_pil",
    "to_array",
    "to_eight_bits",
    "to_image",
    "to_rgb",
    "write_image",
]
