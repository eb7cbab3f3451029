"""Read and write image files of 8 and 16 bits with their metadata."""

from hsr_hub.images.analysis import (
    ImageTraits,
    analyse,
    inspect_file,
)
from hsr_hub.images.atomic import atomic_write
from hsr_hub.images.compression import file_compression
from hsr_hub.images.errors import ImageError, ImageWarning
from hsr_hub.images.folders import FoundImages, describe_left_out, find_images, is_image_file
from hsr_hub.images.formats import (
    FORMATS,
    JPEG_SEGMENT,
    READ_SUFFIXES,
    WRITE_FORMATS,
    choose_format,
)
from hsr_hub.images.frame_writing import numbered, result_paths, write_frames
from hsr_hub.images.frames import Frame, Frames, has_frames, read_frames
from hsr_hub.images.image_data import ImageData, to_image
from hsr_hub.images.metadata import NOTES_KEY, Metadata
from hsr_hub.images.modes import normalize_mode, to_array, to_eight_bits, to_rgb
from hsr_hub.images.reading import read_image, read_pil, read_stamp
from hsr_hub.images.writing import check_target, prepare_folder, save_pil, write_image

__all__ = [
    "FORMATS",
    "JPEG_SEGMENT",
    "NOTES_KEY",
    "READ_SUFFIXES",
    "WRITE_FORMATS",
    "FoundImages",
    "Frame",
    "Frames",
    "ImageData",
    "ImageError",
    "ImageTraits",
    "ImageWarning",
    "Metadata",
    "analyse",
    "atomic_write",
    "check_target",
    "choose_format",
    "describe_left_out",
    "file_compression",
    "find_images",
    "has_frames",
    "inspect_file",
    "is_image_file",
    "normalize_mode",
    "numbered",
    "prepare_folder",
    "read_frames",
    "read_image",
    "read_pil",
    "read_stamp",
    "result_paths",
    "save_pil",
    "to_array",
    "to_eight_bits",
    "to_image",
    "to_rgb",
    "write_frames",
    "write_image",
]
