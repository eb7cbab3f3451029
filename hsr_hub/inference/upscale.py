"""Behind `HSRNetwork.upscale`: files, images and arrays in and out, grey and alpha, any size."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import torch
from PIL import Image

from hsr_hub.images import ImageData, ImageWarning, Metadata, normalize_mode, read_image, to_image
from hsr_hub.inference.device import choose_dtype
from hsr_hub.inference.resize import fill_transparent, resize_lanczos
from hsr_hub.inference.sizes import choose_level, target_size
from hsr_hub.inference.tiling import OnTile, Progress, TileEngine

if TYPE_CHECKING:
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
    """One picture, enlarged.

    The smallest level of the network at or above the wanted size is computed, and Lanczos takes it
    there; beyond the last level Lanczos goes on from it.

    Args:
        model: The network.
        image: A path or a PIL image, or an array (H,W) or (H,W,C) with C = 1 (grey), 2 (grey and
            alpha), 3 (RGB) or 4 (RGB and alpha); uint8, uint16, or float in [0, 1].
        scale: Factor, by default the network's own; any positive number.
        size: (width, height) in pixels instead; another aspect ratio stretches.
        tile_size: Side of a tile in input pixels; by default what fits in free memory. Halved for
            the rest of the picture, and for later ones, where memory does not suffice.
        device: Where to compute; the model moves there. By default where it is.
        dtype: "float32", "bfloat16" or "float16" for the convolutions; by default what
            `choose_dtype` finds fastest and safe. The skip and the sum are always float32.
        progress: Called after every tile with (tiles done, tiles in all).
        on_tile: Called with (left, top, pixels) of every tile of colours when it is done, in pixels
            of the computed level, before `progress`.

    Returns:
        An image of the same mode (palette becomes RGB or RGBA) for a path or an image, its `info`
        with the file's profile, EXIF and XMP; an array of the same dtype and number of dimensions
        for an array.

    Raises:
        ImageError: The file cannot be read.
        TypeError, ValueError: An argument is of the wrong kind or out of range.
    """
    if isinstance(image, np.ndarray):
        array = image.astype(image.dtype.newbyteorder("="), copy=False)
        picture = ImageData(array)
    elif isinstance(image, (str, Path)):
        picture = read_image(image)
    elif isinstance(image, Image.Image):
        plain = normalize_mode(image)
        picture = ImageData(np.asarray(plain), Metadata.from_image(plain))
    else:
        raise TypeError(
            f"image must be a path, a PIL image or an array, not {type(image).__name__}"
        )
    result = upscale_image(
        *(model, picture),
        scale=scale,
        size=size,
        tile_size=tile_size,
        device=device,
        dtype=dtype,
        progress=progress,
        on_tile=on_tile,
    )
    if isinstance(image, np.ndarray):
        return result.array.astype(image.dtype, copy=False)
    if result.array.dtype == np.uint16 and result.array.ndim == 3:
        warnings.warn(
            "PIL has no colours of 16 bits: the result has 8. Keep all by an array, or from file "
            "to file with `hsr-hub upscale`",
            ImageWarning,
            stacklevel=3,
        )
    return to_image(result)


def upscale_image(
    model: HSRNetwork,
    picture: ImageData,
    *,
    scale: float | None = None,
    size: tuple[int, int] | None = None,
    tile_size: int | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    progress: Progress | None = None,
    on_tile: OnTile | None = None,
) -> ImageData:
    """As `upscale`, for a decoded picture with its metadata, in all its bits."""
    array = picture.array
    _check_array(array)
    target = target_size(picture.size, scale=scale, size=size, default=model.scale)
    level = choose_level(model.levels, picture.size, target)
    _check_memory(picture.size, level, target, array)
    if tile_size is not None and tile_size < 1:
        raise ValueError(f"tile_size must be at least 1, not {tile_size}")
    if device is not None:
        model.to(device)
    resolved = choose_dtype(dtype, next(model.parameters()).device, array.dtype)
    engine = TileEngine(
        *(model, level, resolved), tile_size=tile_size, progress=progress, on_tile=on_tile
    )
    result = resize_lanczos(_enlarge(engine, array), target)
    return ImageData(result, picture.metadata.resized(target, grey=picture.grey))


def _enlarge(engine: TileEngine, array: np.ndarray) -> np.ndarray:
    """The array at the engine's level, with the same dtype and number of dimensions."""
    planes = array if array.ndim == 3 else array[:, :, None]
    channels = planes.shape[2]
    has_alpha = channels in (2, 4)
    alpha = planes[:, :, channels - 1 :] if has_alpha else None
    colour = planes[:, :, : channels - 1] if has_alpha else planes
    even = None
    if alpha is not None and (alpha == alpha[0, 0]).all():
        # An even alpha stays what it is; nothing to compute, and opaque stays opaque.
        even, alpha = alpha[0, 0, 0], None
    engine.total = engine.count(*planes.shape[:2]) * (1 if alpha is None else 2)
    if alpha is None:
        result = engine.run(colour)
        if even is not None:
            plane = np.full((*result.shape[:2], 1), even, dtype=array.dtype)
            result = np.concatenate([result, plane], axis=2)
    else:
        result = engine.run(fill_transparent(colour, alpha))
        plane = engine.run(alpha, clamp_to_input=True, show=False)
        result = np.concatenate([result, plane], axis=2)
    return result if array.ndim == 3 else result[:, :, 0]


def _check_array(array: np.ndarray) -> None:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 2, 3, 4)):
        raise ValueError(f"an array must be (H,W) or (H,W,C) with C from 1 to 4, not {array.shape}")
    if 0 in array.shape:
        raise ValueError(f"the picture has no pixels: {array.shape}")
    if array.dtype not in (np.uint8, np.uint16) and not np.issubdtype(array.dtype, np.floating):
        raise TypeError(f"an array must be uint8, uint16 or float in [0, 1], not {array.dtype}")
    # A little beyond 1 is what other filters leave behind; this is another range.
    if np.issubdtype(array.dtype, np.floating) and not (array.max() <= 2 and array.min() >= -1):
        raise ValueError(
            f"a float array must be in [0, 1]; this one spans {array.min():g} to {array.max():g}"
        )


def _check_memory(
    source: tuple[int, int], level: int, target: tuple[int, int], array: np.ndarray
) -> None:
    """Refuse a result that main memory cannot hold, before anything is computed."""
    pixels = math.prod(source) * level**2
    if target != (source[0] * level, source[1] * level):
        pixels += target[0] * target[1]
    channels = array.shape[2] if array.ndim == 3 else 1
    needed = 2 * pixels * channels * array.itemsize  # the result, and a copy on its way to a file
    free = psutil.virtual_memory().available
    if needed > free:
        raise ValueError(
            f"a result of {target[0]}x{target[1]} pixels needs {needed / 1e9:.1f} GB of memory, "
            f"{free / 1e9:.1f} GB are free: choose a smaller scale or size"
        )
