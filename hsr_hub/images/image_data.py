"""ImageData: pixels of 8 or 16 bits with their metadata."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from typing_extensions import Self

from hsr_hub.images.metadata import Metadata
from hsr_hub.images.modes import normalize_mode, round_to_eight_bits


@dataclass
class ImageData:
    """A decoded image, upright."""

    array: np.ndarray
    """(H,W) grey, (H,W,2) grey and alpha, (H,W,3) RGB or (H,W,4) RGB and alpha; uint8 or uint16."""
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()
    """Sentences that say what was converted or left out when the file was read."""
    frames: int = 1
    """Number of frames or pages in the file; `array` is the first one."""

    @classmethod
    def from_image(cls, image: Image.Image) -> Self:
        """Convert a Pillow image of any mode, with the metadata in its `info`.

        Raises:
            ImageError: The image is 32-bit or floating-point grey, whose range is unknown.
        """
        normalized = normalize_mode(image)
        return cls(np.array(normalized), Metadata.from_image(normalized))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.array.shape[1], self.array.shape[0]

    @property
    def grey(self) -> bool:
        """Whether the image is grey, with or without alpha."""
        return self.array.ndim == 2 or self.array.shape[2] <= 2

    @property
    def sixteen_bit_colour(self) -> bool:
        """Whether it has 16 bits and several channels, for which Pillow has no mode."""
        return self.array.dtype == np.uint16 and self.array.ndim == 3


def to_image(image: ImageData) -> Image.Image:
    """Return a Pillow image with the metadata in `info`; 16-bit colour is rounded to 8 bits."""
    array = round_to_eight_bits(image.array) if image.sixteen_bit_colour else image.array
    converted = Image.fromarray(array)
    converted.info.update(image.metadata.info())
    return converted
