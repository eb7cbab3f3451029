"""Pictures before and after the work: limits, the preview that fills, the pair for the slider."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from hsr_hub.images import ImageData, ImageError, read_image, save_pil, to_eight_bits, to_image

MAX_UPLOAD_MEGABYTES = 40
MAX_MEGAPIXELS = 24
"""Of an upload: what a good phone takes."""
MAX_RESULT_MEGAPIXELS = 64
"""Of a result, so that memory, time and the visitor's browser stay within bounds."""
MAX_SIDE = 16_000
"""Of a result; beyond about this, browsers and WebP give up."""

PREVIEW_SIDE = 960
"""Longer side of the preview while the work goes on: about what the page shows."""
VIEW_MEGAPIXELS = 6
"""What the slider shows whole. Two larger PNGs would take a browser long to fetch and decode, and
nobody sees their pixels at once: then the pair is reduced, and the file to download is not."""


@dataclass(frozen=True)
class Upload:
    """An upload that was found fit."""

    path: Path
    name: str
    size: tuple[int, int]
    passes: int
    """Times that the network goes over it."""
    small: Path | None = None
    """A copy that is small enough to be at hand at once, for the page."""

    @property
    def is_there(self) -> bool:
        """Whether its files were not removed yet."""
        return all(file.is_file() for file in (self.path, self.small) if file)


def look(path: str | Path, name: str) -> tuple[Upload, ImageData]:
    """Read an upload.

    Args:
        path: Where it lies.
        name: What its owner calls it.

    Raises:
        ImageError: It is gone, no sound picture, or too large for this page.
    """
    if not Path(path).is_file():
        raise ImageError(f"{name} is no longer here: give it again")
    megabytes = Path(path).stat().st_size / 2**20
    if megabytes > MAX_UPLOAD_MEGABYTES:  # Gradio's MCP server takes text of any length for a file
        raise ImageError(f"{name} has {megabytes:.0f} MB; this page takes {MAX_UPLOAD_MEGABYTES}")
    picture = read_image(path, name, max_pixels=int(MAX_MEGAPIXELS * 1e6))
    return Upload(Path(path), name, picture.size, passes(picture)), picture


def passes(picture: ImageData) -> int:
    """Times that the network goes over a picture: a transparency that varies is one of its own."""
    if picture.array.ndim == 2 or picture.array.shape[2] % 2:
        return 1
    alpha = picture.array[:, :, -1]
    return 1 if (alpha == alpha[0, 0]).all() else 2


def fits(source: tuple[int, int], scale: float) -> bool:
    """Whether a picture enlarged so is one that this page makes."""
    try:
        refuse_large_result((round(source[0] * scale), round(source[1] * scale)))
    except ImageError:
        return False
    return True


def refuse_large_result(target: tuple[int, int]) -> None:
    """Say so if a result would have more pixels than this page makes.

    Raises:
        ImageError: It would.
    """
    megapixels = target[0] * target[1] / 1e6
    if megapixels > MAX_RESULT_MEGAPIXELS or max(target) > MAX_SIDE:
        what = f"{megapixels:.0f} megapixels" if megapixels >= 1 else f"{max(target)} pixels long"
        raise ImageError(
            f"{target[0]}x{target[1]} would be {what}; this page makes up to "
            f"{MAX_RESULT_MEGAPIXELS} megapixels and {MAX_SIDE} pixels a side: "
            "choose a smaller scale or size"
        )


def save_small(picture: ImageData, path: Path) -> Path:
    """A picture for the page alone: 8 bits, no transparency, no larger than the preview."""
    small = _resized(picture, _within(picture.size, PREVIEW_SIDE), Image.Resampling.LANCZOS)
    save_pil(for_screen(small), path, quality=88)
    return path


class Preview:
    """The result as a small picture: bicubic at first, then filled tile by tile."""

    def __init__(self, image: Image.Image, target: tuple[int, int]) -> None:
        self.size = _within(target, PREVIEW_SIDE)
        self.image = for_screen(image).resize(self.size, Image.Resampling.BICUBIC)
        has_alpha = image.mode in {"LA", "RGBA"}
        self._alpha = image.getchannel("A").resize(self.size) if has_alpha else None
        self.version = 0
        """Counts the changes, so that an unchanged picture is not sent again."""
        self._source = image.size

    def fill(self, level: int, left: int, top: int, tile: np.ndarray) -> None:
        """Put a finished tile, in pixels of the computed level, at its place."""
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
            paper = Image.new("RGB", small.size, "white")
            small = Image.composite(small, paper, self._alpha.crop(box))
        image = self.image.copy()  # whoever encodes the one before is not disturbed
        image.paste(small, box[:2])
        self.image, self.version = image, self.version + 1

    def data_url(self) -> str:
        """The picture as it is now, for an <img>."""
        buffer = io.BytesIO()
        self.image.save(buffer, "JPEG", quality=85)
        return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def for_screen(image: Image.Image) -> Image.Image:
    """8-bit RGB, transparency on white."""
    image = to_eight_bits(image)
    if image.mode in {"LA", "RGBA"}:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def save_pair(before: ImageData, after: ImageData, result: Path, folder: Path) -> tuple[Path, Path]:
    """Files for the slider: the source enlarged the plain way and the result, of one size.

    Args:
        before: The source.
        after: The result.
        result: The file that the result was written to; shown as it is where it is not too large.
        folder: Where to put what is missing.
    """
    size = after.size
    shrink = (VIEW_MEGAPIXELS * 1e6 / (size[0] * size[1])) ** 0.5
    if shrink < 1:
        size = (max(1, int(size[0] * shrink)), max(1, int(size[1] * shrink)))
        result = folder / "after.png"
        save_pil(_resized(after, size, Image.Resampling.LANCZOS), result)
    save_pil(_resized(before, size, Image.Resampling.BICUBIC), folder / "before.png")
    return folder / "before.png", result


def _resized(picture: ImageData, size: tuple[int, int], by: Image.Resampling) -> Image.Image:
    """In 8 bits: Pillow resizes no deeper ones, and no screen shows more."""
    return to_eight_bits(to_image(picture)).resize(size, by)


def _within(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The size shrunk, where it must be, so that its longer side is at most `side`."""
    shrink = min(1, side / max(size))
    return max(1, round(size[0] * shrink)), max(1, round(size[1] * shrink))
