"""Parse and check what visitors ask for, before any work is done."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from typing import Any

from hsr_hub.inference import target_size
from hsr_hub.webapp.limits import MAX_SCALE, MAX_SIDE, MIN_SCALE
from hsr_hub.webapp.models import ModelStore
from hsr_hub.webapp.uploads import check_result_size

EXACT = "exact"
"""The form's value for a scale when a width or a height is given instead."""


@dataclass(frozen=True)
class UpscaleRequest:
    """How to upscale an image: by a scale, or to a width, a height or both."""

    model: str
    strength: float = 0
    scale: float | None = None
    width: float | None = None
    height: float | None = None

    def size(self, source: tuple[int, int]) -> tuple[int, int] | None:
        """Return the exact (width, height), proportional if only one is given; None for a scale."""
        width, height = self.width, self.height
        if width is None and height is None:
            return None
        if width is None:
            assert height is not None
            width = source[0] * height / source[1]
        if height is None:
            height = source[1] * width / source[0]
        return max(1, round(width)), max(1, round(height))

    def target(self, source: tuple[int, int]) -> tuple[int, int]:
        """Return (width, height) of the result for a source of that size.

        Raises:
            ImageError: The result would be larger than the page allows.
        """
        target = target_size(source, scale=self.scale, size=self.size(source))
        check_result_size(target)
        return target

    def label(self, source: tuple[int, int]) -> str:
        """Return the end of a result's name: "4x" or "1920x1080"."""
        size = self.size(source)
        return f"{size[0]}x{size[1]}" if size else f"{self.scale:g}x"


def parse_request(
    models: ModelStore, scale: Any, width: Any, height: Any, strength: Any, model: Any
) -> UpscaleRequest:
    """Return the request for values that a caller sent, which can be of any type.

    Args:
        models: What can be chosen.
        scale: Factor. Ignored if a width or a height is given.
        width: Width of the result in pixels. None or 0: not given.
        height: Height of the result in pixels. None or 0: not given.
        strength: From 0, faithful, to 1, the most detail. None is 0.
        model: Name of a model.

    Raises:
        ValueError: A value has the wrong type or is out of range. The message names it.
    """
    exact_width, exact_height = _side("width", width), _side("height", height)
    factor = None
    if exact_width is None and exact_height is None:
        factor = _number("scale", scale, MIN_SCALE, MAX_SCALE)
    elif exact_width is not None and exact_height is not None:
        check_result_size((round(exact_width), round(exact_height)))
    amount = _number("strength", 0 if strength is None else strength, 0, 1)
    models.check(model, amount)
    return UpscaleRequest(model, amount, factor, exact_width, exact_height)


def request_from_form(
    models: ModelStore, scale: Any, width: Any, height: Any, strength: Any, model: Any
) -> UpscaleRequest:
    """Return the request for the values of the page's form.

    Raises:
        ValueError: A value is missing, has the wrong type or is out of range.
    """
    if scale != EXACT:
        return parse_request(models, scale, None, None, strength, model)
    if not width and not height:
        raise ValueError("fill in a width, a height, or both")
    return parse_request(models, None, width, height, strength, model)


def _side(name: str, value: Any) -> float | None:
    # An empty number field of the form can be 0.
    return None if value is None or value == 0 else _number(name, value, 1, MAX_SIDE)


def _number(name: str, value: Any, lowest: float, highest: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} must be a number, not {reprlib.repr(value)}")
    if not lowest <= value <= highest:  # false for NaN too
        raise ValueError(
            f"{name} must be between {lowest} and {highest}, not {reprlib.repr(value)}"
        )
    return value
