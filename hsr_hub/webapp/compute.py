"""The part of a request that needs the device. On ZeroGPU it runs in a separate process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from hsr_hub.images import ImageData
from hsr_hub.inference import UpscaleOptions, choose_level, default_tile_size, upscale_image
from hsr_hub.webapp.jobs import JobCancelledError
from hsr_hub.webapp.models import ModelStore
from hsr_hub.webapp.upscale_request import UpscaleRequest

MIN_WATCHED_TILE = 192
"""Smallest side of a tile that is chosen for the preview. Smaller ones are mostly margin."""


def compute(
    models: ModelStore,
    request: UpscaleRequest,
    image: ImageData,
    cancel_file: Path,
    progress: Callable[[int, int], object] | None = None,
    on_tile: Callable[[int, int, np.ndarray], object] | None = None,
) -> ImageData:
    """Upscale an image.

    Args:
        models: Where the request's model is found.
        request: How to upscale.
        image: The source.
        cancel_file: Checked after every tile. If it exists, the work ends.
        progress: As for `upscale_image`.
        on_tile: As for `upscale_image`. On a CPU, smaller tiles are used if it is given.

    Raises:
        JobCancelledError: The cancel file exists.
    """
    model = models.get(request.model, request.strength)
    device = next(model.parameters()).device

    def after_tile(done: int, total: int) -> None:
        if cancel_file.exists():
            raise JobCancelledError
        if progress is not None:
            progress(done, total)

    tile_size = None
    if on_tile is not None and device.type == "cpu":
        # At least two tiles along the longer side, so that a visitor sees progress.
        level = choose_level(model.levels, image.size, request.target(image.size))
        half = max(MIN_WATCHED_TILE, -(-max(image.size) // 2))
        tile_size = min(half, default_tile_size(model, level, device))
    return upscale_image(
        model,
        image,
        UpscaleOptions(scale=request.scale, size=request.size(image.size), tile_size=tile_size),
        progress=after_tile,
        on_tile=on_tile,
    )
