"""The options of an upscaling, for one image and for files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from hsr_hub.inference.device import parse_dtype
from hsr_hub.inference.sizes import check_scale_and_size, fit_size, target_size


@dataclass(frozen=True)
class UpscaleOptions:
    """How to upscale an image.

    Raises:
        ValueError: An option is out of range, or both scale and size are given.
    """

    scale: float | None = None
    """Factor, by default the network's own; any positive number."""
    size: tuple[int, int] | None = None
    """(width, height) of the result in place of a factor; another aspect ratio stretches."""
    tile_size: int | None = None
    """Side of a tile in input pixels; by default as large as free memory allows."""
    device: str | torch.device | None = None
    """Device that the network moves to; by default it stays where it is."""
    dtype: str | torch.dtype | None = None
    """Number type of the convolutions; by default `choose_dtype` finds the fastest safe one."""

    def __post_init__(self) -> None:
        check_scale_and_size(self.scale, self.size)
        if self.tile_size is not None and self.tile_size < 1:
            raise ValueError(f"tile_size must be at least 1, not {self.tile_size}")
        if self.dtype is not None:
            parse_dtype(self.dtype)

    def target_size(self, source: tuple[int, int], default_scale: float) -> tuple[int, int]:
        """Return the (width, height) of the result for a source of (width, height)."""
        return target_size(source, scale=self.scale, size=self.size, default=default_scale)


@dataclass(frozen=True)
class FileOptions(UpscaleOptions):
    """How to upscale each file of a batch, and how to write its result."""

    width: int | None = None
    """Largest width of the result; the aspect ratio is kept."""
    height: int | None = None
    """Largest height of the result; the aspect ratio is kept."""
    longest: int | None = None
    """Largest length of the longer side; the aspect ratio is kept."""
    format: str | None = None
    """Suffix of the output format; by default that of the output file, else PNG."""
    quality: int | None = None
    """1 to 100 for JPEG, WebP and AVIF."""
    strip_metadata: bool = False
    """Whether all metadata are left out, except the colour profile and the resolution."""
    frames: Literal["first", "all"] = "first"
    """Whether animations and files of several pages are enlarged completely."""
    keep_times: bool = False
    """Whether a result gets the time of its source."""
    stamp: str | None = None
    """Name of the settings, which is stored in the results; see `Metadata.stamp`."""
    max_megapixels: float = 400
    """Sources and results with more pixels are refused."""

    def label(self, default_scale: int) -> str:
        """Return the part of a result's file name that states the size, such as "4x"."""
        if self.size:
            return f"{self.size[0]}x{self.size[1]}"
        for side, letter in ((self.width, "w"), (self.height, "h"), (self.longest, "px")):
            if side:
                return f"{side}{letter}"
        return f"{self.scale or default_scale:g}x"

    def target_size(self, source: tuple[int, int], default_scale: float) -> tuple[int, int]:
        """Return the (width, height) of the result for a source of (width, height).

        Raises:
            ValueError: The result exceeds `max_megapixels`.
        """
        if self.width or self.height or self.longest:
            target = fit_size(source, width=self.width, height=self.height, longest=self.longest)
        else:
            target = super().target_size(source, default_scale)
        if target[0] * target[1] > self.max_megapixels * 1e6:
            raise ValueError(
                f"the result would have {target[0]}x{target[1]} pixels, more than "
                f"{self.max_megapixels:g} megapixels: choose a smaller size, or raise "
                "--max-megapixels"
            )
        return target
