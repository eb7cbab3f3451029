"""Images that the page shows: thumbnails, the preview during the work, before and after."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from hsr_hub.images import ImageData, Metadata, save_pil, to_eight_bits, to_image
from hsr_hub.webapp.limits import FILE_OVERHEAD

PREVIEW_SIDE = 960
"""Longer side of previews and thumbnails in pixels: about what the page shows."""
COMPARISON_MEGAPIXELS = 6
"""Largest images in the slider. Browsers are slow with two larger PNGs, and no screen shows all of
their pixels. A larger result is reduced for the slider, and only there."""
MAX_SCREEN_PROFILE = 1 << 18
"""Bytes of a colour profile in files that are only shown. Usual ones are smaller. An upload can
have one of a megabyte, and a large result has hundreds of tiles."""


def for_viewer(image: ImageData) -> ImageData:
    """Return the image without metadata, except for a colour profile of usual size."""
    profile = image.metadata.icc_profile
    kept = profile if profile and len(profile) <= MAX_SCREEN_PROFILE else None
    return ImageData(image.array, Metadata(icc_profile=kept))


def thumbnail_bytes(image: ImageData) -> int:
    """Return the most that the thumbnail of an image takes on the disk."""
    width, height = _shrink(image.size, PREVIEW_SIDE)
    return 3 * width * height + MAX_SCREEN_PROFILE + FILE_OVERHEAD


def save_thumbnail(image: ImageData, path: Path) -> Path:
    """Save a copy for the page: 8 bits, without alpha, at most `PREVIEW_SIDE` long."""
    size = _shrink(image.size, PREVIEW_SIDE)
    small = _resize(for_viewer(image), size, Image.Resampling.LANCZOS)
    save_pil(for_screen(small), path, quality=88)
    return path


def save_comparison(before: ImageData, after: ImageData, result: Path) -> tuple[Path, Path]:
    """Save the two images of the slider, which have the same size.

    Args:
        before: The source, which is resized with bicubic interpolation.
        after: The result.
        result: The result's file. The slider shows it as it is, unless it is too large. The other
            files are saved next to it.

    Returns:
        The paths of both.
    """
    size = after.size
    before, after = for_viewer(before), for_viewer(after)
    shrink = (COMPARISON_MEGAPIXELS * 1e6 / (size[0] * size[1])) ** 0.5
    before_path, after_path = result.with_name("before.png"), result
    if shrink < 1:
        size = (max(1, int(size[0] * shrink)), max(1, int(size[1] * shrink)))
        after_path = result.with_name("after.png")
        save_pil(_resize(after, size, Image.Resampling.LANCZOS), after_path)
    save_pil(_resize(before, size, Image.Resampling.BICUBIC), before_path)
    return before_path, after_path


class Preview:
    """A small image of the result: bicubic at first, then filled tile by tile."""

    def __init__(self, image: Image.Image, target: tuple[int, int]) -> None:
        self.size = _shrink(target, PREVIEW_SIDE)
        self.image = for_screen(image).resize(self.size, Image.Resampling.BICUBIC)
        has_alpha = image.mode in {"LA", "RGBA"}
        self._alpha = image.getchannel("A").resize(self.size) if has_alpha else None
        self._source = image.size
        self.tiles = 0
        """Number of tiles so far. Tells whether the image has changed."""

    def add_tile(self, level: int, left: int, top: int, tile: np.ndarray) -> None:
        """Paste a finished tile, whose position is in pixels of the computed level."""
        x, y = self.size[0] / (self._source[0] * level), self.size[1] / (self._source[1] * level)
        height, width = tile.shape[:2]
        box = (
            round(left * x),
            round(top * y),
            round((left + width) * x),
            round((top + height) * y),
        )
        if box[0] == box[2] or box[1] == box[3]:
            return
        if tile.dtype == np.uint16:
            tile = (tile >> 8).astype(np.uint8)
        part = Image.fromarray(tile[:, :, 0] if tile.shape[2:] == (1,) else tile)
        small = part.resize((box[2] - box[0], box[3] - box[1]), reducing_gap=2.0)
        small = small.convert("RGB")
        if self._alpha is not None:
            white = Image.new("RGB", small.size, "white")
            small = Image.composite(small, white, self._alpha.crop(box))
        image = self.image.copy()  # another thread may be encoding the previous image
        image.paste(small, box[:2])
        self.image, self.tiles = image, self.tiles + 1

    def data_url(self) -> str:
        """Return the current image for the `src` of an `<img>`."""
        buffer = io.BytesIO()
        self.image.save(buffer, "JPEG", quality=85)
        return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def for_screen(image: Image.Image) -> Image.Image:
    """Return the image as 8-bit RGB on white."""
    image = to_eight_bits(image)
    if image.mode in {"LA", "RGBA"}:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _resize(image: ImageData, size: tuple[int, int], filter: Image.Resampling) -> Image.Image:
    """Resize in 8 bits, because Pillow does not resize images with more."""
    return to_eight_bits(to_image(image)).resize(size, filter)


def _shrink(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return the size, reduced so that its longer side is at most `side`."""
    factor = min(1, side / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))
