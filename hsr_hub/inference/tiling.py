"""The network over a picture of any size, tile by tile, exactly.

The network is convolutions only, so a pixel of the result depends on a known neighbourhood of the
input. Every tile is computed with a margin of that size and cropped: the joined result is the whole
picture's, up to rounding of the arithmetic, and there is nothing to blend.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import psutil
import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from hsr_hub.network import HSRNetwork

Progress = Callable[[int, int], object]
"""Called with tiles done and tiles in all; whatever it raises stops the work."""

OnTile = Callable[[int, int, np.ndarray], object]
"""Called with left, top and pixels of a tile that is done, in pixels of the computed level."""

SMALLEST_TILE, LARGEST_TILE = 64, 512
"""Sides that `default_tile_size` keeps to: below, the margin is most of the work; above, larger
tiles save little of it."""

MOST_IN_A_BATCH = 8

_largest_tile_that_fit: WeakKeyDictionary[HSRNetwork, dict[tuple[str, int], int]] = (
    WeakKeyDictionary()
)
"""Largest tile side that fit after an out-of-memory error, by device and level."""


class Tile(NamedTuple):
    """A tile, in input pixels."""

    top: int
    left: int
    bottom: int
    right: int

    def with_margin(self, margin: int, height: int, width: int) -> Tile:
        """What is read for it."""
        return Tile(
            max(0, self.top - margin),
            max(0, self.left - margin),
            min(height, self.bottom + margin),
            min(width, self.right + margin),
        )

    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.bottom - self.top, self.right - self.left


def split(box: Tile, side: int) -> list[Tile]:
    """A box in boxes of at most `side`, row by row, of as equal sizes as can be."""

    def edges(start: int, end: int) -> list[tuple[int, int]]:
        step = math.ceil((end - start) / math.ceil((end - start) / side))
        return [(at, min(at + step, end)) for at in range(start, end, step)]

    return [
        Tile(top, left, bottom, right)
        for top, bottom in edges(box.top, box.bottom)
        for left, right in edges(box.left, box.right)
    ]


def bytes_per_pixel(model: HSRNetwork, level: int) -> int:
    """Memory that the network takes for an input pixel of a tile, rounded up.

    Three tensors of the widest stage live at once (a convolution's output, its activation, the
    shuffled one), beside the fused features; the images add a few of three channels.
    """
    config = model.config
    features = 3 * (sum(config["widths"]) + config["fusion_width"])
    channels = [0, *config["reconstruction_widths"]]
    stages = [
        (3 * width + 9) * s**2
        for width, s in zip(channels, model.levels, strict=True)
        if s <= level
    ]
    return 4 * (features + max(stages))


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        # What torch keeps for itself and does not use is free to us too.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    return psutil.virtual_memory().available


def default_tile_size(model: HSRNetwork, level: int, device: torch.device) -> int:
    """Side of a tile that takes at most a quarter of the free memory, and fitted before."""
    side = math.sqrt(_free_bytes(device) / 4 / bytes_per_pixel(model, level))
    side = int(min(LARGEST_TILE, max(SMALLEST_TILE, side - 2 * model.receptive_field)))
    return min(side, _largest_tile_that_fit.get(model, {}).get((str(device), level), side))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the main memory had no room; their libraries say so differently."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(
        sign in text for sign in ("out of memory", "not enough memory", "can't allocate memory")
    )


class TileEngine:
    """One level of one network over planes of pixels.

    Args:
        model: The network, on its device.
        level: One of its levels.
        dtype: Of the convolutions; the skip and the sum are float32 in any case.
        tile_size: Side of a tile in input pixels; by default what fits in free memory.
        progress: Called after every tile.
        on_tile: Called with every tile's pixels before that.
    """

    def __init__(
        self,
        model: HSRNetwork,
        level: int,
        dtype: torch.dtype,
        *,
        tile_size: int | None = None,
        progress: Progress | None = None,
        on_tile: OnTile | None = None,
    ) -> None:
        self.model = model
        self.level = level
        self.dtype = dtype
        weight = next(model.parameters())
        self.device, self.weight_dtype = weight.device, weight.dtype
        self.margin = model.receptive_field
        self.tile_size = tile_size or default_tile_size(model, level, self.device)
        self.progress = progress
        self.on_tile = on_tile
        self.done = self.total = 0

    def count(self, height: int, width: int) -> int:
        """Tiles of a picture of that size."""
        return len(split(Tile(0, 0, height, width), self.tile_size))

    @torch.inference_mode()
    def run(
        self, planes: np.ndarray, *, clamp_to_input: bool = False, show: bool = True
    ) -> np.ndarray:
        """The planes enlarged by the level.

        Args:
            planes: (H,W,C), C = 1 or 3; uint8, uint16 or float in [0, 1].
            clamp_to_input: Keep each new pixel within the range of the input pixels around it:
                for alpha, which must not ring.
            show: Whether these are the tiles for `on_tile`.

        Returns:
            (H*level,W*level,C) of the same dtype.
        """
        height, width, channels = planes.shape
        s = self.level
        result = np.empty((height * s, width * s, channels), dtype=planes.dtype)

        def store(boxes: list[Tile], tiles: list[np.ndarray]) -> None:
            for box, tile in zip(boxes, tiles, strict=True):
                result[box.top * s : box.bottom * s, box.left * s : box.right * s] = tile
                self.done += 1
                if self.on_tile is not None and show:
                    self.on_tile(box.left * s, box.top * s, tile)
                if self.progress is not None:
                    self.progress(self.done, max(self.done, self.total))

        waiting: tuple[list[Tile], Callable[[], list[np.ndarray]]] | None = None
        for boxes in self._batches(height, width):
            fetch = self._start(planes, boxes, clamp_to_input, self.dtype)
            if waiting is not None:
                store(waiting[0], waiting[1]())
            waiting = boxes, fetch
            if self.device.type != "cuda":  # nothing runs beside us: show it at once
                store(boxes, fetch())
                waiting = None
        if waiting is not None:
            store(waiting[0], waiting[1]())
        return result

    def _batches(self, height: int, width: int) -> Iterator[list[Tile]]:
        """Tiles that go through the network together: alike in shape, few enough to fit."""
        boxes = split(Tile(0, 0, height, width), self.tile_size)
        most = 1
        if self.device.type == "cuda":
            side = self.tile_size + 2 * self.margin
            room = _free_bytes(self.device) / 4 / bytes_per_pixel(self.model, self.level)
            most = int(min(MOST_IN_A_BATCH, max(1, room / side**2)))
        for _, group in groupby(boxes, lambda b: b.with_margin(self.margin, height, width).shape()):
            alike = list(group)
            for start in range(0, len(alike), most):
                yield alike[start : start + most]

    def _start(
        self, planes: np.ndarray, boxes: list[Tile], clamp_to_input: bool, dtype: torch.dtype
    ) -> Callable[[], list[np.ndarray]]:
        """Begin the work on tiles of one shape; the result waits for it and gives their pixels."""
        side = max(boxes[0].shape())
        if side <= self.tile_size:  # else an earlier tile has shown that this one cannot fit
            key = (str(self.device), self.level)
            try:
                return self._forward(planes, boxes, clamp_to_input, dtype)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if side <= 1:  # it is not the size: the next picture may find more room
                    _largest_tile_that_fit.get(self.model, {}).pop(key, None)
                    raise
            # Outside the handler: its traceback would hold the memory that was too little.
            self.tile_size = math.ceil(side / 2)
            _largest_tile_that_fit.setdefault(self.model, {})[key] = self.tile_size
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        return lambda: [self._split_and_retry(planes, box, clamp_to_input, dtype) for box in boxes]

    def _split_and_retry(
        self, planes: np.ndarray, box: Tile, clamp_to_input: bool, dtype: torch.dtype
    ) -> np.ndarray:
        """A tile that did not fit, from smaller ones."""
        s = self.level
        height, width = box.shape()
        tile = np.empty((height * s, width * s, planes.shape[2]), dtype=planes.dtype)
        for part in split(box, self.tile_size):
            (pixels,) = self._start(planes, [part], clamp_to_input, dtype)()
            top, left = (part.top - box.top) * s, (part.left - box.left) * s
            tile[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        return tile

    def _forward(
        self, planes: np.ndarray, boxes: list[Tile], clamp_to_input: bool, dtype: torch.dtype
    ) -> Callable[[], list[np.ndarray]]:
        s = self.level
        margins = [box.with_margin(self.margin, *planes.shape[:2]) for box in boxes]
        lq = torch.stack([_to_tensor(planes[m.top : m.bottom, m.left : m.right]) for m in margins])
        lq = _to_device(lq, self.device)
        lq = lq.float() / (255 if planes.dtype == np.uint8 else 1)
        sr = self._network(lq, dtype)
        # One number for the whole tile: a sum over what is not finite is not finite either.
        finite = torch.isfinite(sr.sum())
        if clamp_to_input:
            # Flat stays flat, opaque opaque: each pixel keeps to the 3x3 input pixels around it.
            size = sr.shape[-2:]
            high = F.interpolate(F.max_pool2d(lq, 3, 1, 1), size)
            low = F.interpolate(-F.max_pool2d(-lq, 3, 1, 1), size)
            sr = sr.clamp(low, high)
        tiles = []
        for image, box, m in zip(sr, boxes, margins, strict=True):
            top, left = (box.top - m.top) * s, (box.left - m.left) * s
            height, width = box.shape()
            inner = image[:, top : top + height * s, left : left + width * s].clamp(0, 1)
            if planes.dtype == np.uint8:
                inner = inner.mul_(255).round_().to(torch.uint8)
            tiles.append(_to_host(inner.permute(1, 2, 0)))
        arrived = None
        if self.device.type == "cuda":
            arrived = torch.cuda.Event()
            arrived.record()

        def fetch() -> list[np.ndarray]:
            if arrived is not None:
                arrived.synchronize()
            if not finite:
                if dtype == torch.float32:
                    raise ValueError(
                        "the network gave numbers that are not finite: its weights are damaged"
                    )
                # Out of the short type's range: again in the long one.
                return self._start(planes, boxes, clamp_to_input, torch.float32)()
            return [_to_array(tile, planes.dtype) for tile in tiles]

        return fetch

    def _network(self, lq: Tensor, dtype: torch.dtype) -> Tensor:
        """(B,C,h,w) to (B,C,h*s,w*s), C = 1 or 3."""
        # channels_last is the fast layout for convolutions; what follows takes it over.
        rgb = lq.expand(-1, 3, -1, -1).to(self.weight_dtype, memory_format=torch.channels_last)
        with torch.autocast(self.device.type, dtype, enabled=dtype != torch.float32):
            sr = self.model.super_resolve(rgb, self.level).float()
        return sr.mean(dim=1, keepdim=True) if lq.shape[1] == 1 else sr


def _to_tensor(planes: np.ndarray) -> Tensor:
    """(h,w,C) to (C,h,w): uint8 as it is, to be divided where it arrives; else float in [0, 1]."""
    if planes.dtype != np.uint8:
        top = np.float32(65535 if planes.dtype == np.uint16 else 1)
        planes = planes.astype(np.float32) / top
    return torch.from_numpy(np.require(planes, requirements=["C", "W"])).permute(2, 0, 1)


def _to_device(tensor: Tensor, device: torch.device) -> Tensor:
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _to_host(tensor: Tensor) -> Tensor:
    """On a GPU the copy is only begun; an event tells when it has arrived."""
    if tensor.device.type != "cuda":
        return tensor.cpu()
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return host.copy_(tensor, non_blocking=True)


def _to_array(tensor: Tensor, dtype: np.dtype) -> np.ndarray:
    """(h,w,C), uint8 or float in [0, 1], to an array of a dtype, rounded for whole numbers."""
    values = tensor.numpy()
    if dtype == np.uint16:
        values = (values * 65535).round()
    return values.astype(dtype, copy=False)
