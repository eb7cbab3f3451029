"""Read all frames of an animation, or all pages of a TIFF, one at a time."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from hsr_hub.images.errors import ImageError
from hsr_hub.images.formats import FORMATS, MAX_PIXELS
from hsr_hub.images.frame_count import count_frames
from hsr_hub.images.identify import image_format, read_head
from hsr_hub.images.image_data import ImageData
from hsr_hub.images.modes import to_eight_bits
from hsr_hub.images.reading import check_size, decode_image, open_image, prepare
from hsr_hub.images.tiff_kinds import at_page, find_pages

ANIMATED_FORMATS = {name for name, entry in FORMATS.items() if entry.animated}
"""Formats whose frames have durations, by Pillow's name."""


@dataclass
class Frame:
    """A frame of an animation, or a page."""

    image: ImageData
    duration: float = 0
    """Milliseconds; 0 for a page."""


@dataclass
class Frames:
    """The frames of an animation, or the pages of a TIFF.

    Each iteration decodes them again, so that only one is in memory.
    """

    path: Path
    first: ImageData
    """The first frame, with the metadata and the notes of the file."""
    sizes: list[tuple[int, int]]
    """(width, height) of each frame."""
    durations: list[float]
    """Milliseconds of each frame; empty for pages."""
    plays: int = 1
    """How often the animation is played; 0 stands for endlessly."""
    alpha: bool = False
    """Whether a frame of an animation is transparent somewhere."""
    start: int = 0
    """Index of the first frame in the file; 1 if an APNG has another image in front of it."""
    max_pixels: int = MAX_PIXELS

    @property
    def paged(self) -> bool:
        """Whether the frames are pages."""
        return not self.durations

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[Frame]:
        if self.paged:
            for image in _read_pages(self.path, self.max_pixels):
                yield Frame(image)
            return
        channels = "RGBA" if self.alpha else "RGB"
        indices = range(self.start, self.start + len(self))
        for image, duration in _decode(self.path, self.max_pixels, indices):
            # The first frame has all metadata; the colours of the others are the same.
            array = np.asarray(to_eight_bits(image).convert(channels))
            yield Frame(ImageData(array, self.first.metadata), duration)


def read_frames(path: Path, max_pixels: int = MAX_PIXELS) -> Frames | None:
    """Decode all frames once, and return them, or None if the file has one frame only.

    So durations, sizes and damage are known before a computation.

    Args:
        path: The file.
        max_pixels: Frames with more pixels are refused.

    Raises:
        ImageError: The file or one of its frames cannot be read.
    """
    format = image_format(read_head(path))
    if format == "TIFF":
        return _read_tiff(path, max_pixels)
    if format not in ANIMATED_FORMATS:
        return None
    first = decode_image(path, max_pixels=max_pixels, all_frames=True)
    if first.frames == 1:
        return None
    with open_image(_prepared(path), path.name, max_pixels) as opened:
        start = int(bool(opened.info.get("default_image")))
        plays = _plays(opened)
    if first.frames - start == 1:
        return None
    if start:
        note = f"{path.name}: the image that programs without animations show is left out"
        first.notes += (note,)
    if first.array.dtype == np.uint16:
        first.notes += (f"{path.name}: 16 bits per channel are reduced to 8 in an animation",)
    durations: list[float] = []
    alpha = False
    for image, duration in _decode(path, max_pixels, range(start, first.frames)):
        durations.append(duration)
        alpha = alpha or _is_transparent(image)
    sizes = [first.size] * len(durations)
    return Frames(path, first, sizes, durations, plays, alpha, start, max_pixels)


def has_frames(path: Path) -> bool:
    """Return whether `read_frames` finds several frames in a file; False for a broken one."""
    try:
        if image_format(read_head(path)) == "TIFF":
            with path.open("rb") as file:
                return len(find_pages(file)) > 1
        if image_format(read_head(path)) not in ANIMATED_FORMATS:
            return False
        with open_image(path, path.name, MAX_PIXELS) as opened:
            return count_frames(opened) - int(bool(opened.info.get("default_image"))) > 1
    except (ImageError, OSError):
        return False


def _read_tiff(path: Path, max_pixels: int) -> Frames | None:
    with path.open("rb") as file:
        if len(find_pages(file)) == 1:
            return None
    first = None
    sizes = []
    for image in _read_pages(path, max_pixels):
        first = first or image
        sizes.append(image.size)
        first.notes += image.notes if image is not first else ()
    assert first is not None
    first.notes = tuple(dict.fromkeys(first.notes))
    return Frames(path, first, sizes, [], max_pixels=max_pixels)


def _read_pages(path: Path, max_pixels: int) -> Iterator[ImageData]:
    """Yield the pages of a TIFF."""
    data = path.read_bytes()
    pages = find_pages(io.BytesIO(data))
    for number, offset in enumerate(pages, 1):
        name = f"{path.name}, page {number}"
        page = io.BytesIO(at_page(data, offset))
        yield decode_image(page, name, max_pixels, all_frames=True)


def _decode(path: Path, max_pixels: int, indices: range) -> Iterator[tuple[Image.Image, float]]:
    """Yield the frames of an animation upright, with their durations in milliseconds."""
    with open_image(_prepared(path), path.name, max_pixels) as opened:
        for number, index in enumerate(indices, 1):
            name = f"{path.name}, frame {number}"
            try:
                opened.seek(index)
                opened.load()
                duration = float(opened.info.get("duration", 0))
                image = ImageData.from_image(opened)
            except Exception as error:  # a broken frame can cause any error in a decoder
                raise ImageError(
                    f"{name} is damaged ({error}): use --frames first, or copy it again"
                ) from error
            check_size(opened, name, max_pixels)
            yield Image.fromarray(image.array), duration


def _prepared(path: Path) -> str | Path | BinaryIO:
    """Return the file, or a repaired copy of it."""
    source, _, _ = prepare(path, path.name)
    return source


def _plays(opened: Image.Image) -> int:
    """Return how often an animation is played; 0 stands for endlessly."""
    loop = opened.info.get("loop")
    if not isinstance(loop, int):
        return 1 if opened.format == "GIF" else 0
    # A GIF counts the repetitions after the first time.
    return loop + 1 if opened.format == "GIF" and loop else loop


def _is_transparent(image: Image.Image) -> bool:
    if image.mode not in {"LA", "RGBA"}:
        return False
    lowest, _ = image.getchannel("A").getextrema()
    return isinstance(lowest, (int, float)) and lowest < 255
