"""What the engine does to arrays of pixels beside the network."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image


def fill_transparent(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours, with those of fully transparent pixels replaced by their visible neighbours'.

    What stands under zero alpha is arbitrary, often black, and would bleed into the visible edge.

    Args:
        colour: (H,W,C).
        alpha: (H,W,1) of the same dtype.
    """
    visible = alpha > 0
    if visible.all() or not visible.any():
        return colour
    # Down a pyramid of averages of the visible pixels, then back up into the holes.
    values = torch.from_numpy((colour * visible).astype(np.float32)).permute(2, 0, 1)[None]
    weights = torch.from_numpy(visible.astype(np.float32)).permute(2, 0, 1)[None]
    pyramid = [(values, weights)]
    while max(weights.shape[-2:]) > 1:
        values, weights = (
            F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False) for x in (values, weights)
        )
        pyramid.append((values, weights))
    filled = values / weights
    for values, weights in reversed(pyramid[:-1]):
        coarse = F.interpolate(filled, values.shape[-2:])
        filled = torch.where(weights > 0, values / weights.clamp(min=1e-12), coarse)
    spread = filled[0].permute(1, 2, 0).numpy()
    if np.issubdtype(colour.dtype, np.integer):
        spread = spread.round()
    return np.where(visible, colour, spread.astype(colour.dtype))


def resize_lanczos(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An array (H,W) or (H,W,C) at (width, height), by Pillow's Lanczos."""
    if (array.shape[1], array.shape[0]) == tuple(size):
        return array
    if array.dtype == np.uint8 and (array.ndim == 2 or array.shape[2] == 3):
        return np.array(Image.fromarray(array).resize(size, Image.Resampling.LANCZOS))
    # Plane by plane: Pillow resizes no deeper pictures, and colours with an alpha only after
    # multiplying them, in 8 bits, which ruins those of faint pixels.
    planes = array if array.ndim == 3 else array[:, :, None]
    top = np.iinfo(array.dtype).max if np.issubdtype(array.dtype, np.integer) else 1.0
    resized = [
        np.asarray(
            Image.fromarray(planes[:, :, c].astype(np.float32)).resize(
                size, Image.Resampling.LANCZOS
            )
        )
        for c in range(planes.shape[2])
    ]
    result = np.stack(resized, axis=2).clip(0, top)
    if np.issubdtype(array.dtype, np.integer):
        result = result.round()
    result = result.astype(array.dtype)
    return result if array.ndim == 3 else result[:, :, 0]
