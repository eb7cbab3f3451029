"""A photograph, a numbered collection of them, and the reading of their files."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

from hsr_hub.images import read_pil, to_rgb

ORIENTATION = 0x0112
"""Number of the EXIF tag; values from 5 on exchange width and height."""


class NoPhotosError(ValueError):
    """No training photo can be used."""


class Photo(NamedTuple):
    """A decoded photograph, and its low-resolution image if that is given."""

    gt: np.ndarray
    """(H,W,3) uint8."""
    lq: np.ndarray | None = None
    """(H/scale,W/scale,3) uint8."""


class Photos(Protocol):
    """Photographs by number, decoded when they are read."""

    name: str
    """The flag and its values, for messages."""

    def __len__(self) -> int:
        """Return the number of photographs."""
        ...

    def label(self, index: int) -> str:
        """Return the name of a photograph for messages."""
        ...

    def read(self, index: int) -> Photo:
        """Decode a photograph. Decoders raise many kinds of errors."""
        ...


def read_rgb(source: Path | io.BytesIO, name: str | None = None) -> np.ndarray:
    """Return an image file as (H,W,3) uint8."""
    return np.array(to_rgb(read_pil(source, name)))


def image_size(path: Path) -> tuple[int, int]:
    """Return width and height of an image file, as it is displayed.

    Only the header is read, unless Pillow cannot open the file by itself.

    Raises:
        ImageError: The file cannot be read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about sizes and metadata
        try:
            with Image.open(path) as image:
                width, height = image.size
                # A PNG's EXIF data may follow its pixels, which Pillow would decode to reach it.
                turned = image.format != "PNG" and image.getexif().get(ORIENTATION, 1) >= 5
        except Exception:  # decoders raise many kinds; `read_pil` repairs the file or says why not
            return read_pil(path).size
    return (height, width) if turned else (width, height)
