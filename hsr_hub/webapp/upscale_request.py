"""Parse and check what visitors ask for, before any work is done."""

from __future__ import annotations

import re
import reprlib
from dataclasses import dataclass, replace
from typing import Any

from hsr_hub.hub import AUTO, DETAIL, choose_weights
from hsr_hub.images import ImageTraits
from hsr_hub.inference import fit_size, target_size
from hsr_hub.webapp.limits import MAX_SCALE, MAX_SIDE, MIN_SCALE
from hsr_hub.webapp.models import ModelStore
from hsr_hub.webapp.uploads import check_result_size

EXACT = "exact"
"""The form's value for a scale when a width or a height is given instead."""

STRETCH, FIT, CROP = "stretch", "fit", "crop"
"""What happens to an image if width and height are both given and have other proportions: it is
distorted, made as large as fits inside, or its edges are cut off."""


@dataclass(frozen=True)
class UpscaleRequest:
    """How to upscale an image: by a scale, or to a width, a height or both."""

    model: str
    strength: float = 0
    scale: float | None = None
    width: float | None = None
    height: float | None = None
    fitting: str = STRETCH
    """Used if both sides are given."""

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
        elif self.fitting == FIT and abs(source[1] * width / source[0] - height) > 1:
            return fit_size(source, width=round(width), height=round(height))
        return max(1, round(width)), max(1, round(height))

    def crop_box(self, source: tuple[int, int]) -> tuple[int, int, int, int] | None:
        """Return (left, top, right, bottom) of the part of the source that is kept; None for all.

        The part is in the middle and has the proportions of the result.
        """
        if self.fitting != CROP or self.width is None or self.height is None:
            return None
        factor = max(self.width / source[0], self.height / source[1])
        width = min(source[0], max(1, round(self.width / factor)))
        height = min(source[1], max(1, round(self.height / factor)))
        if (width, height) == source:
            return None
        left, top = (source[0] - width) // 2, (source[1] - height) // 2
        return left, top, left + width, top + height

    def kept_size(self, source: tuple[int, int]) -> tuple[int, int]:
        """Return the size of the part of the source that is kept."""
        box = self.crop_box(source)
        return (box[2] - box[0], box[3] - box[1]) if box else source

    def target(self, source: tuple[int, int]) -> tuple[int, int]:
        """Return (width, height) of the result for a source of that size.

        Raises:
            ResultTooLargeError: The result would be larger than the page allows.
        """
        target = target_size(source, scale=self.scale, size=self.size(source))
        check_result_size(target)
        return target

    def label(self, source: tuple[int, int]) -> str:
        """Return the end of a result's name: size and weights, "4x-hsr-x4" for example."""
        size = self.size(source)
        scale = f"{size[0]}x{size[1]}" if size else f"{self.scale:g}x"
        if self.fitting == CROP and self.width and self.height:
            scale += "-cropped"
        model = re.sub(r"[^\w.]+", "-", self.model).strip("-.")[:60]
        strength = "" if self.strength in {0, 1} else f"-{self.strength:.2g}"
        detail = DETAIL if self.strength else ""
        return f"{scale}-{model}{detail}{strength}"

    def with_model(
        self, models: ModelStore, traits: ImageTraits, source: tuple[int, int]
    ) -> tuple[UpscaleRequest, str]:
        """Replace `"auto"` by the weights that fit an image.

        Args:
            models: What can be chosen.
            traits: What is known about the image.
            source: Size of the image.

        Returns:
            The request, and a sentence for people: what was seen and what is done. The sentence is
            empty if the request names its weights.
        """
        if self.model != AUTO:
            return self, ""
        target = self.target(source)
        scale = max(target[0] / source[0], target[1] / source[1])
        names = models.candidates(self.strength)
        default = models.default if models.default in names else names[0]
        name, reason = choose_weights(traits, scale, names, default)
        name, detail = models.split(name)
        return replace(self, model=name, strength=1 if detail else self.strength), reason


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
        model: Code name of a choice. That of a detail model stands for its strength 1.

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
    name, detail = models.split(model)
    if detail and not amount:
        amount = 1
    models.check(name, amount)
    return UpscaleRequest(name, amount, factor, exact_width, exact_height)


def request_from_form(
    models: ModelStore,
    scale: Any,
    width: Any,
    height: Any,
    strength: Any,
    model: Any,
    fitting: Any = FIT,
) -> UpscaleRequest:
    """Return the request for the values of the page's form.

    Raises:
        ValueError: A value is missing, has the wrong type or is out of range.
    """
    if scale != EXACT:
        request = parse_request(models, scale, None, None, strength, model)
        if models.auto and request.scale == 1 and not models.cleans(request.model, strength or 0):
            raise ValueError(
                "1x only cleans, and these weights do not: choose Auto or Web or phone photo with "
                "strength 0, or a larger scale"
            )
        return request
    if not width and not height:
        raise ValueError("fill in a width, a height, or both")
    if not isinstance(fitting, str) or fitting not in {FIT, CROP}:
        raise ValueError(f"choose {FIT} or {CROP}, not {reprlib.repr(fitting)}")
    request = parse_request(models, None, width, height, strength, model)
    return replace(request, fitting=fitting)


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
