"""Resampling of arrays without the network: transparent colours, and Lanczos."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image


def fill_transparent(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Replace the colours of fully transparent pixels by those of visible pixels nearby.

    The colour under zero alpha is arbitrary, often black, and would bleed into visible edges.

    Args:
        colour: (H,W,C).
        alpha: (H,W,1) of the same dtype.

    Returns:
        (H,W,C) of the same dtype; visible pixels are unchanged.
    """
    visible = alpha > 0
    if visible.all() or not visible.any():
        return colour
    # Average the visible pixels down a pyramid, then fill the holes on the way up.
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
    background = filled[0].permute(1, 2, 0).numpy()
    if np.issubdtype(colour.dtype, np.integer):
        background = background.round()
    return np.where(visible, colour, background.astype(colour.dtype))


def resize_lanczos(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize an array by Pillow's Lanczos filter.

    Args:
        array: (H,W) or (H,W,C); uint8, uint16 or float in [0, 1].
        size: (width, height) of the result.

    Returns:
        An array of the same dtype and number of dimensions.
    """
    if (array.shape[1], array.shape[0]) == tuple(size):
        return array
    if array.dtype == np.uint8 and (array.ndim == 2 or array.shape[2] == 3):
        return np.array(_resample(Image.fromarray(array), size, Image.Resampling.LANCZOS))
    # One plane at a time, in float. Pillow has no resize for 16-bit colour, and it premultiplies
    # colours by alpha in 8 bits, which destroys the colours of nearly transparent pixels. All
    # planes at once would take several times the memory of the result.
    planes = array if array.ndim == 3 else array[:, :, None]
    is_integer = np.issubdtype(array.dtype, np.integer)
    most = np.iinfo(array.dtype).max if is_integer else 1.0
    result = np.empty((size[1], size[0], planes.shape[2]), array.dtype)
    for c in range(planes.shape[2]):
        values = _resize_plane(planes[:, :, c], size).clip(0, most)
        result[:, :, c] = values.round() if is_integer else values
    return result if array.ndim == 3 else result[:, :, 0]


def _resize_plane(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return an array (H,W) that is resized in float32."""
    image = Image.fromarray(plane.astype(np.float32))
    return np.asarray(_resample(image, size, Image.Resampling.LANCZOS))


def _resample(image: Image.Image, size: tuple[int, int], filter: Image.Resampling) -> Image.Image:
    """Resize an image, in about the memory of the larger one of the two.

    Pillow resizes the width first. From tall and narrow to wide and flat, it would hold an image
    that is tall and wide: 12 GB for one of 24 megapixels that a network has enlarged.
    """
    if size[0] * image.height > 2 * max(image.width * image.height, size[0] * size[1]):
        image = image.resize((image.width, size[1]), filter)
    return image.resize(size, filter)


def has_two_values(array: np.ndarray) -> bool:
    """Return whether all values are the smallest or the largest one."""
    low, high = array.min(), array.max()
    return bool(((array == low) | (array == high)).all())


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize an array of two values, and keep only these: edges are smooth but hard.

    Args:
        mask: (H,W) of two values.
        size: (width, height) of the result.
    """
    low, high = mask.min(), mask.max()
    if low == high:
        return np.full((size[1], size[0]), low, mask.dtype)
    coverage = Image.fromarray((mask == high).astype(np.float32))
    resized = np.asarray(_resample(coverage, size, Image.Resampling.BICUBIC))
    return np.where(resized >= 0.5, high, low).astype(mask.dtype)
