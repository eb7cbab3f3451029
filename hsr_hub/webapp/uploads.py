"""Uploads: read within limits, and checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hsr_hub.images import ImageData, ImageError, ImageTraits
from hsr_hub.webapp.decoder import DecodedImage, Decoder
from hsr_hub.webapp.limits import (
    MAX_MEGAPIXELS,
    MAX_RESULT_MEGAPIXELS,
    MAX_SIDE,
    MAX_UPLOAD_MEGABYTES,
    MAX_UPLOAD_SIDE,
)

DECODER = Decoder()
"""Starts no process before the first image, or `DECODER.start()`."""


@dataclass(frozen=True)
class Upload:
    """An upload that was read and accepted."""

    path: Path
    name: str
    size: tuple[int, int]
    forward_passes: int
    thumbnail: Path
    """A small copy, which takes no time to read."""
    traits: ImageTraits = field(default_factory=ImageTraits)
    """What the automatic choice of weights looks at."""

    @property
    def exists(self) -> bool:
        """Whether its files were not removed yet."""
        return self.path.is_file() and self.thumbnail.is_file()


def load_upload(
    path: Path, name: str, raise_if_cancelled: Callable[[], object] = lambda: None
) -> DecodedImage:
    """Read an upload in another process, within limits of time and memory.

    Args:
        path: The file.
        name: What its owner calls it, for messages.
        raise_if_cancelled: Called several times per second. If it raises, decoding ends.

    Raises:
        ImageError: It was removed, cannot be read, or is too large for this page.
    """
    if not path.is_file():
        raise ImageError(f"{name} is no longer here: give it again")
    megabytes = path.stat().st_size / 2**20
    if megabytes > MAX_UPLOAD_MEGABYTES:  # Gradio's MCP server does not check the size of files
        raise ImageError(f"{name} has {megabytes:.0f} MB; this page takes {MAX_UPLOAD_MEGABYTES}")
    image = DECODER.read_image(path, name, int(MAX_MEGAPIXELS * 1e6), raise_if_cancelled)
    if max(image.size) > MAX_UPLOAD_SIDE:
        raise ImageError(
            f"{name} is {max(image.size)} pixels long; this page takes up to {MAX_UPLOAD_SIDE}: "
            "cut it into parts"
        )
    return image


def forward_passes(image: ImageData) -> int:
    """Return how often the network runs over an image: twice if its alpha varies, else once."""
    if image.array.ndim == 2 or image.array.shape[2] % 2:
        return 1
    alpha = image.array[:, :, -1]
    return 1 if (alpha == alpha[0, 0]).all() else 2


class ResultTooLargeError(ImageError):
    """A result would be larger than this page makes."""


def check_result_size(target: tuple[int, int]) -> None:
    """Raise if a result is too large for this page.

    Raises:
        ResultTooLargeError: It has too many pixels, or one side is too long.
    """
    megapixels = target[0] * target[1] / 1e6
    if megapixels > MAX_RESULT_MEGAPIXELS or max(target) > MAX_SIDE:
        what = f"{megapixels:.0f} megapixels" if megapixels >= 1 else f"{max(target)} pixels long"
        raise ResultTooLargeError(
            f"{target[0]}x{target[1]} would be {what}; this page makes up to "
            f"{MAX_RESULT_MEGAPIXELS} megapixels and {MAX_SIDE} pixels a side: "
            "choose a smaller scale or size"
        )


def fits(source: tuple[int, int], scale: float) -> bool:
    """Return whether this page can upscale an image by a scale."""
    try:
        check_result_size((round(source[0] * scale), round(source[1] * scale)))
    except ResultTooLargeError:
        return False
    return True
