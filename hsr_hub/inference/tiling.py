"""Apply the network to an image of any size in tiles, with an exact result.

The network consists of convolutions, so each output pixel depends on a known neighbourhood of the
input. Every tile is computed with a margin of that size, which is cropped afterwards. The joined
tiles equal the result for the whole image, up to float rounding, and need no blending.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hsr_hub.inference.memory import (
    default_tile_size,
    forget_tile_size,
    is_out_of_memory,
    pixels_that_fit,
    remember_tile_size,
)
from hsr_hub.network import HSRNetwork

Progress = Callable[[int, int], object]
"""Called with the tiles done and the total; an error that it raises stops the work."""

OnTile = Callable[[int, int, np.ndarray], object]
"""Called with left, top and (h,w,C) pixels of a finished tile, in pixels of the computed level."""

_Fetch = Callable[[], list[np.ndarray]]
"""Waits for a batch of tiles, and returns the pixels of each."""

MAX_BATCH = 8
"""Most tiles that are computed together on a GPU."""


class Tile(NamedTuple):
    """A rectangle of input pixels."""

    top: int
    left: int
    bottom: int
    right: int

    def with_margin(self, margin: int, height: int, width: int) -> Tile:
        """Return the tile with a margin, as far as an image of that size reaches."""
        return Tile(
            max(0, self.top - margin),
            max(0, self.left - margin),
            min(height, self.bottom + margin),
            min(width, self.right + margin),
        )

    def shape(self) -> tuple[int, int]:
        """Return (height, width)."""
        return self.bottom - self.top, self.right - self.left


def split(area: Tile, side: int) -> list[Tile]:
    """Split an area into tiles of similar size, at most `side` long, row by row."""

    def edges(start: int, end: int) -> list[tuple[int, int]]:
        step = math.ceil((end - start) / math.ceil((end - start) / side))
        return [(at, min(at + step, end)) for at in range(start, end, step)]

    return [
        Tile(top, left, bottom, right)
        for top, bottom in edges(area.top, area.bottom)
        for left, right in edges(area.left, area.right)
    ]


class TileEngine:
    """Computes one level of a network, tile by tile.

    A tile that does not fit in memory is split, and later tiles are smaller. A tile that overflows
    in a 16-bit type is computed again in float32.

    Args:
        model: The network, on its device.
        level: One of the network's levels.
        dtype: Number type of the convolutions; the skip and the sum are always float32.
        tile_size: Side of a tile in input pixels; by default as large as free memory allows.
        progress: Called after every tile.

    Attributes:
        done: Tiles that are done, in all calls of `run`.
        total: Tiles of all calls of `run`, for `progress`; set by the caller.
    """

    def __init__(
        self,
        model: HSRNetwork,
        level: int,
        dtype: torch.dtype,
        *,
        tile_size: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.model = model
        self.level = level
        self.dtype = dtype
        weight = next(model.parameters())
        self.device = weight.device
        self.weight_dtype = weight.dtype
        self.margin = model.receptive_field
        self.tile_size = tile_size or default_tile_size(model, level, self.device)
        self.progress = progress
        self.done = 0
        self.total = 0

    def count(self, height: int, width: int) -> int:
        """Return the number of tiles of an image."""
        return len(split(Tile(0, 0, height, width), self.tile_size))

    @torch.inference_mode()
    def run(
        self,
        planes: np.ndarray,
        *,
        clamp_to_input: bool = False,
        on_tile: OnTile | None = None,
    ) -> np.ndarray:
        """Return the planes at the engine's level.

        Args:
            planes: (H,W,C), C = 1 or 3; uint8, uint16 or float in [0, 1].
            clamp_to_input: Keep each output pixel within the range of the 3x3 input pixels around
                it, so that alpha does not ring.
            on_tile: Called with every finished tile, before `progress`.

        Returns:
            (H*level,W*level,C) of the same dtype.
        """
        height, width, channels = planes.shape
        s = self.level
        result = np.empty((height * s, width * s, channels), dtype=planes.dtype)
        for tile, pixels in self._compute(planes, clamp_to_input):
            result[tile.top * s : tile.bottom * s, tile.left * s : tile.right * s] = pixels
            self.done += 1
            if on_tile is not None:
                on_tile(tile.left * s, tile.top * s, pixels)
            if self.progress is not None:
                self.progress(self.done, max(self.done, self.total))
        return result

    def _compute(
        self, planes: np.ndarray, clamp_to_input: bool
    ) -> Iterator[tuple[Tile, np.ndarray]]:
        """Yield every tile and its pixels."""
        # A GPU computes the next batch while the pixels of this one are stored.
        batches_ahead = 1 if self.device.type == "cuda" else 0
        started: deque[tuple[list[Tile], _Fetch]] = deque()
        for tiles in self._batches(*planes.shape[:2]):
            started.append((tiles, self._start(planes, tiles, clamp_to_input, self.dtype)))
            if len(started) > batches_ahead:
                finished, fetch = started.popleft()
                yield from zip(finished, fetch(), strict=True)
        for finished, fetch in started:
            yield from zip(finished, fetch(), strict=True)

    def _batches(self, height: int, width: int) -> Iterator[list[Tile]]:
        """Yield tiles that are computed together: equal in shape, and few enough to fit."""
        size = 1
        if self.device.type == "cuda":
            pixels = (self.tile_size + 2 * self.margin) ** 2
            fitting = pixels_that_fit(self.model, self.level, self.device) / pixels
            size = int(min(MAX_BATCH, max(1, fitting)))
        tiles = split(Tile(0, 0, height, width), self.tile_size)
        for _, group in groupby(
            tiles, lambda tile: tile.with_margin(self.margin, height, width).shape()
        ):
            same_shape = list(group)
            for start in range(0, len(same_shape), size):
                yield same_shape[start : start + size]

    def _start(
        self, planes: np.ndarray, tiles: list[Tile], clamp_to_input: bool, dtype: torch.dtype
    ) -> _Fetch:
        """Start to compute tiles of one shape, or split them if they do not fit in memory."""
        side = max(tiles[0].shape())
        # A larger side means that an earlier tile of this size did not fit.
        if side <= self.tile_size:
            try:
                return self._forward(planes, tiles, clamp_to_input, dtype)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if side <= 1:
                    # Smaller tiles do not help. More memory may be free for the next image.
                    forget_tile_size(self.model, self.level, self.device)
                    raise
            # Outside the `except` block, because the traceback keeps the tensors alive.
            self.tile_size = math.ceil(side / 2)
            remember_tile_size(self.model, self.level, self.device, self.tile_size)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        return lambda: [
            self._split_and_retry(planes, tile, clamp_to_input, dtype) for tile in tiles
        ]

    def _split_and_retry(
        self, planes: np.ndarray, tile: Tile, clamp_to_input: bool, dtype: torch.dtype
    ) -> np.ndarray:
        """Compute a tile that did not fit in memory from smaller ones."""
        s = self.level
        height, width = tile.shape()
        result = np.empty((height * s, width * s, planes.shape[2]), dtype=planes.dtype)
        for part in split(tile, self.tile_size):
            (pixels,) = self._start(planes, [part], clamp_to_input, dtype)()
            top, left = (part.top - tile.top) * s, (part.left - tile.left) * s
            result[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        return result

    def _forward(
        self, planes: np.ndarray, tiles: list[Tile], clamp_to_input: bool, dtype: torch.dtype
    ) -> _Fetch:
        """Start to compute tiles of one shape; a GPU continues after this returns."""
        windows = [tile.with_margin(self.margin, *planes.shape[:2]) for tile in tiles]
        lq = torch.stack([_to_tensor(planes[w.top : w.bottom, w.left : w.right]) for w in windows])
        lq = _to_device(lq, self.device)
        lq = lq.float() / (255 if planes.dtype == np.uint8 else 1)
        sr = self._network(lq, dtype)
        # One value for all tiles: a sum is finite only if all its terms are.
        finite = torch.isfinite(sr.sum())
        if clamp_to_input:
            sr = _clamp_to_neighbourhood(sr, lq)
        results = []
        for image, tile, window in zip(sr, tiles, windows, strict=True):
            pixels = self._crop(image, tile, window).clamp(0, 1)
            if planes.dtype == np.uint8:
                pixels = pixels.mul_(255).round_().to(torch.uint8)
            results.append(_to_host(pixels.permute(1, 2, 0)))
        copied = None
        if self.device.type == "cuda":
            copied = torch.cuda.Event()
            copied.record()

        def fetch() -> list[np.ndarray]:
            if copied is not None:
                copied.synchronize()
            if finite:
                return [_to_array(pixels, planes.dtype) for pixels in results]
            if dtype == torch.float32:
                raise ValueError(
                    "the network's output is not finite, so its weights are damaged: "
                    "download or train them again"
                )
            return self._start(planes, tiles, clamp_to_input, torch.float32)()

        return fetch

    def _network(self, lq: Tensor, dtype: torch.dtype) -> Tensor:
        """Compute (B,C,h*s,w*s) from (B,C,h,w), C = 1 or 3."""
        # Convolutions are fastest in channels_last.
        rgb = lq.expand(-1, 3, -1, -1).to(self.weight_dtype, memory_format=torch.channels_last)
        with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
            sr = self.model.super_resolve(rgb, self.level).float()
        return sr.mean(dim=1, keepdim=True) if lq.shape[1] == 1 else sr

    def _crop(self, image: Tensor, tile: Tile, window: Tile) -> Tensor:
        """Cut a tile's pixels out of the (C,h,w) output for the tile and its margin."""
        s = self.level
        top, left = (tile.top - window.top) * s, (tile.left - window.left) * s
        height, width = tile.shape()
        return image[:, top : top + height * s, left : left + width * s]


def _clamp_to_neighbourhood(sr: Tensor, lq: Tensor) -> Tensor:
    """Limit each output pixel to the range of the 3x3 input pixels around it."""
    size = sr.shape[-2:]
    high = F.interpolate(F.max_pool2d(lq, 3, 1, 1), size)
    low = F.interpolate(-F.max_pool2d(-lq, 3, 1, 1), size)
    return sr.clamp(low, high)


def _to_tensor(planes: np.ndarray) -> Tensor:
    """Convert (h,w,C) to (C,h,w); uint8 stays uint8, other types become float in [0, 1]."""
    if planes.dtype != np.uint8:
        top = np.float32(65535 if planes.dtype == np.uint16 else 1)
        planes = planes.astype(np.float32) / top
    return torch.from_numpy(np.require(planes, requirements=["C", "W"])).permute(2, 0, 1)


def _to_device(tensor: Tensor, device: torch.device) -> Tensor:
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _to_host(tensor: Tensor) -> Tensor:
    """Copy to main memory; from a GPU, the copy is only started."""
    if tensor.device.type != "cuda":
        return tensor.cpu()
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return host.copy_(tensor, non_blocking=True)


def _to_array(tensor: Tensor, dtype: np.dtype) -> np.ndarray:
    """Convert (h,w,C), uint8 or float in [0, 1], to an array; uint16 is scaled and rounded."""
    values = tensor.numpy()
    if dtype == np.uint16:
        values = (values * 65535).round()
    return values.astype(dtype, copy=False)
