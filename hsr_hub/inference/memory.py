"""The tile size that fits in memory."""

from __future__ import annotations

import math
from weakref import WeakKeyDictionary

import psutil
import torch

from hsr_hub.network import HSRNetwork

SMALLEST_TILE = 64
"""Smallest default tile side; in smaller tiles, the margin is most of the work."""

LARGEST_TILE = 512
"""Largest default tile side; larger tiles save little of the margin."""

MEMORY_SHARE = 1 / 4
"""Share of the free memory that one batch of tiles may take."""

_largest_tile_that_fit: WeakKeyDictionary[HSRNetwork, dict[tuple[str, int], int]] = (
    WeakKeyDictionary()
)
"""Largest tile side that fit after an out-of-memory error, by device and level."""


def default_tile_size(model: HSRNetwork, level: int, device: torch.device) -> int:
    """Return the side of a tile, in input pixels, for the free memory of the device.

    After an out-of-memory error, it is at most the side that fit then.
    """
    side = math.sqrt(pixels_that_fit(model, level, device)) - 2 * model.receptive_field
    side = int(min(LARGEST_TILE, max(SMALLEST_TILE, side)))
    return min(side, _largest_tile_that_fit.get(model, {}).get((str(device), level), side))


def remember_tile_size(model: HSRNetwork, level: int, device: torch.device, side: int) -> None:
    """Limit `default_tile_size` to this side from now on."""
    _largest_tile_that_fit.setdefault(model, {})[str(device), level] = side


def forget_tile_size(model: HSRNetwork, level: int, device: torch.device) -> None:
    """Remove the limit that `remember_tile_size` has set."""
    _largest_tile_that_fit.get(model, {}).pop((str(device), level), None)


def pixels_that_fit(model: HSRNetwork, level: int, device: torch.device) -> float:
    """Return how many input pixels, margins included, may be computed at once."""
    return _free_bytes(device) * MEMORY_SHARE / model.bytes_per_pixel(level)


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        # Memory that torch has reserved and does not use is free too.
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    return psutil.virtual_memory().available


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that a device or the main memory is full."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    # Some libraries raise a plain RuntimeError.
    messages = ("out of memory", "not enough memory", "can't allocate memory")
    return isinstance(error, RuntimeError) and any(text in str(error) for text in messages)
