"""Upscale one image: any input type, any size, grey and alpha included."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import psutil
import torch
from PIL import Image

from hsr_hub.images import ImageData, ImageWarning, read_image, to_image
from hsr_hub.inference.device import choose_dtype
from hsr_hub.inference.options import UpscaleOptions
from hsr_hub.inference.resize import (
    fill_transparent,
    has_two_values,
    resize_lanczos,
    resize_mask,
)
from hsr_hub.inference.sizes import choose_level
from hsr_hub.inference.tiling import OnTile, Progress, TileEngine
from hsr_hub.network import HSRNetwork


def upscale(
    model: HSRNetwork,
    image: str | Path | Image.Image | np.ndarray,
    *,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
    tile_size: int | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    progress: Progress | None = None,
    on_tile: OnTile | None = None,
) -> Image.Image | np.ndarray:
    """Upscale an image.

    The network computes its smallest level that is at least as large as the result, and a Lanczos
    filter resizes that level to the exact size. If the result is larger than the last level,
    Lanczos enlarges the last level.

    Args:
        model: The network.
        image: A path, a PIL image, or an array (H,W) or (H,W,C) with C = 1 (grey), 2 (grey and
            alpha), 3 (RGB) or 4 (RGB and alpha); uint8, uint16, or float in [0, 1].
        scale: Factor, by default the network's own; any positive number.
        size: (width, height) of the result in place of a factor; another aspect ratio stretches.
        tile_size: Side of a tile in input pixels; by default as large as free memory allows. If
            memory runs out, it is halved for the rest of the image and for later images.
        device: Device that the network moves to; by default it stays where it is.
        dtype: "float32", "bfloat16" or "float16" for the convolutions; by default `choose_dtype`
            finds the fastest safe type. The skip and the sum are always float32.
        progress: Called after every tile with the tiles done and the total.
        on_tile: Called with (left, top, pixels) of every finished tile, in pixels of the computed
            level and without alpha, before `progress`.

    Returns:
        For a path or a PIL image, a PIL image of the same mode (a palette becomes RGB or RGBA) with
        the colour profile, EXIF and XMP in `info`. For an array, an array of the same dtype and
        number of dimensions.

    Raises:
        ImageError: The file cannot be read.
        TypeError: An argument is of the wrong type.
        ValueError: An argument is out of range.
    """
    options = UpscaleOptions(scale, size, tile_size, device, dtype)
    result = upscale_image(
        model, _to_image_data(image), options, progress=progress, on_tile=on_tile
    )
    if isinstance(image, np.ndarray):
        return result.array.astype(image.dtype, copy=False)
    if result.sixteen_bit_colour:
        warnings.warn(
            "PIL has no 16-bit colour, so the result has 8 bits: pass an array to keep 16, or use "
            "`hsr-hub upscale` from file to file",
            ImageWarning,
            stacklevel=3,
        )
    return to_image(result)


def upscale_image(
    model: HSRNetwork,
    image: ImageData,
    options: UpscaleOptions | None = None,
    *,
    progress: Progress | None = None,
    on_tile: OnTile | None = None,
) -> ImageData:
    """Upscale an image with its metadata, at its full bit depth.

    Args:
        model: The network.
        image: The image; floats in [0, 1] are allowed too.
        options: Size, tiles, device and number type; by default those of `UpscaleOptions()`.
        progress: As for `upscale`.
        on_tile: As for `upscale`.

    Raises:
        TypeError: The array has an unknown type.
        ValueError: The array has a wrong shape or range, or the result does not fit in memory.
    """
    options = options or UpscaleOptions()
    _check_array(image.array)
    target = options.target_size(image.size, model.scale)
    level = choose_level(model.levels, image.size, target)
    _check_memory(image, level, target)
    if options.device is not None:
        model.to(options.device)
    dtype = choose_dtype(options.dtype, next(model.parameters()).device, image.array.dtype)
    engine = TileEngine(model, level, dtype, tile_size=options.tile_size, progress=progress)
    array = resize_lanczos(_enlarge(engine, image.array, on_tile), target)
    if _has_hard_alpha(image.array):
        # The network and Lanczos would leave holes and specks around the edges.
        array[:, :, -1] = resize_mask(image.array[:, :, -1], target)
    return ImageData(array, image.metadata.resized(target, grey=image.grey), image.notes)


def _to_image_data(image: str | Path | Image.Image | np.ndarray) -> ImageData:
    if isinstance(image, np.ndarray):
        return ImageData(image.astype(image.dtype.newbyteorder("="), copy=False))
    if isinstance(image, (str, Path)):
        return read_image(image)
    if isinstance(image, Image.Image):
        return ImageData.from_image(image)
    raise TypeError(f"image must be a path, a PIL image or an array, not {type(image).__name__}")


def _enlarge(engine: TileEngine, array: np.ndarray, on_tile: OnTile | None) -> np.ndarray:
    """Return the array at the engine's level, with the same dtype and number of dimensions."""
    planes = array if array.ndim == 3 else array[:, :, None]
    if planes.shape[2] in (2, 4):
        return _enlarge_with_alpha(engine, planes[:, :, :-1], planes[:, :, -1:], on_tile)
    engine.total = engine.count(*planes.shape[:2])
    # Scans and text of two values have flat areas, in which rings around letters would show.
    result = engine.run(planes, clamp_to_input=has_two_values(planes), on_tile=on_tile)
    return result if array.ndim == 3 else result[:, :, 0]


def _enlarge_with_alpha(
    engine: TileEngine, colour: np.ndarray, alpha: np.ndarray, on_tile: OnTile | None
) -> np.ndarray:
    """Return (H*s,W*s,C+1) for colours (H,W,C) and alpha (H,W,1)."""
    tiles = engine.count(*alpha.shape[:2])
    if has_two_values(alpha):
        # A constant alpha needs no network; an opaque image stays opaque. A hard one is enlarged
        # by `upscale_image`.
        engine.total = tiles
        large_colour = engine.run(fill_transparent(colour, alpha), on_tile=on_tile)
        large_alpha = np.full((*large_colour.shape[:2], 1), alpha[0, 0, 0], dtype=alpha.dtype)
    else:
        engine.total = 2 * tiles
        large_colour = engine.run(fill_transparent(colour, alpha), on_tile=on_tile)
        large_alpha = engine.run(alpha, clamp_to_input=True)
    return np.concatenate([large_colour, large_alpha], axis=2)


def _has_hard_alpha(array: np.ndarray) -> bool:
    """Return whether an array has alpha of two values."""
    return array.ndim == 3 and array.shape[2] in (2, 4) and has_two_values(array[:, :, -1])


def _check_array(array: np.ndarray) -> None:
    """Raise if the network cannot take the array."""
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 2, 3, 4)):
        raise ValueError(f"an array must be (H,W) or (H,W,C) with C from 1 to 4, not {array.shape}")
    if 0 in array.shape:
        raise ValueError(f"the image has no pixels: its shape is {array.shape}")
    is_float = np.issubdtype(array.dtype, np.floating)
    if array.dtype not in (np.uint8, np.uint16) and not is_float:
        raise TypeError(f"an array must be uint8, uint16 or float in [0, 1], not {array.dtype}")
    # Other filters overshoot [0, 1] a little. Values far outside mean another range, such as 255.
    if is_float and not (array.max() <= 2 and array.min() >= -1):
        raise ValueError(
            f"a float array must be in [0, 1], not from {array.min():g} to {array.max():g}: "
            "divide it by its largest possible value"
        )


def _check_memory(image: ImageData, level: int, target: tuple[int, int]) -> None:
    """Raise if the result does not fit in main memory, before anything is computed."""
    width, height = image.size
    pixels = width * height * level**2
    if target != (width * level, height * level):
        pixels += math.prod(target)
    channels = image.array.shape[2] if image.array.ndim == 3 else 1
    # The result, and a copy of it that is made when it is written to a file.
    needed = 2 * pixels * channels * image.array.itemsize
    free = psutil.virtual_memory().available
    if needed > free:
        raise ValueError(
            f"a result of {target[0]}x{target[1]} pixels needs {needed / 1e9:.1f} GB of memory, "
            f"{free / 1e9:.1f} GB are free: choose a smaller scale or size"
        )
