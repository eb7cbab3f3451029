"""What visitors ask for, checked before anything is done."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hsr_hub.inference import target_size
from hsr_hub.webapp import uploads

SMALLEST_SCALE, LARGEST_SCALE = 0.25, 8
EXACT = "exact"
"""What the form holds instead of a scale where a width or a height is filled in."""


@dataclass(frozen=True)
class Order:
    """What is to be made of a picture."""

    model: str
    strength: float = 0
    scale: float | None = None
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ValueError: The scale or the size is out of range, or both or neither are given.
        """
        if (self.scale is None) == (self.size is None):
            raise ValueError("give either a scale or a size")
        if self.scale is not None and not SMALLEST_SCALE <= self.scale <= LARGEST_SCALE:
            raise ValueError(  # NaN comes here too
                f"scale must be between {SMALLEST_SCALE} and {LARGEST_SCALE}, not {self.scale!r}"
            )

    @property
    def label(self) -> str:
        """What a result's name ends with: 4x, or 1920x1080."""
        return f"{self.size[0]}x{self.size[1]}" if self.size else f"{self.scale:g}x"

    def target(self, source: tuple[int, int]) -> tuple[int, int]:
        """Size of the result.

        Raises:
            ValueError: It is none, or larger than this page makes.
        """
        target = target_size(source, scale=self.scale, size=self.size)
        uploads.refuse_large_result(target)
        return target


def order(
    source: tuple[int, int],
    model: str,
    strength: float | None = 0,
    scale: float | None = None,
    width: float | None = None,
    height: float | None = None,
) -> Order:
    """An order out of what a form or a caller filled in.

    Args:
        source: The picture's size.
        model: Name of the network.
        strength: 0 faithful ... 1 most detail.
        scale: Factor; not looked at where a width or a height is given.
        width: Of the result; where only one of the two is given the other keeps the proportions.
        height: Of the result.

    Raises:
        ValueError: A value is out of range; the message names it.
    """
    size = _exact(source, width, height)
    if size is None and (isinstance(scale, bool) or not isinstance(scale, (int, float))):
        raise ValueError(f"scale must be a number, not {scale!r}")
    made = Order(model, strength or 0, None if size else scale, size)
    made.target(source)
    return made


def fill_in(
    scale: float | str,
    width: float | None,
    height: float | None,
    strength: float,
    model: str,
    source: tuple[int, int],
) -> Order:
    """The order that the page's form stands for, for a picture of some size.

    Raises:
        ValueError: A value is out of range or missing.
    """
    if scale != EXACT:
        return order(source, model, strength, float(scale))
    if not width and not height:
        raise ValueError("fill in a width, a height, or both")
    return order(source, model, strength, None, width, height)


def _exact(
    source: tuple[int, int], width: float | None, height: float | None
) -> tuple[int, int] | None:
    """The size that was asked for, or nothing where neither side was given."""
    for name, side in (("width", width), ("height", height)):
        if side and not (math.isfinite(side) and 1 <= side <= uploads.MAX_SIDE):
            raise ValueError(f"{name} must be between 1 and {uploads.MAX_SIDE}, not {side:g}")
    if not width and not height:
        return None
    if not width:
        assert height
        width = source[0] * height / source[1]
    if not height:
        height = source[1] * width / source[0]
    return max(1, round(width)), max(1, round(height))
