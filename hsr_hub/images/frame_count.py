"""The number of frames of an opened image."""

from __future__ import annotations

from PIL import Image


def count_frames(image: Image.Image) -> int:
    """Return the number of frames of an opened animation, or 1.

    The second image of an MPO, which phones add to a JPEG, does not count as a frame.
    """
    if image.format == "MPO":
        return 1
    try:
        return getattr(image, "n_frames", 1)
    except Exception:  # a frame is broken
        return 2
