"""Metrics between images, by the protocol of super-resolution papers.

PSNR and SSIM are computed on the Y channel (BT.601, 16-235) of 8-bit images with a border of
`scale` pixels cropped, SSIM with an 11x11 Gaussian window of sigma 1.5. Grey images count as RGB.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from PIL import Image


def luma(rgb: np.ndarray) -> np.ndarray:
    """Return the Y channel (BT.601, 16-235) of an (H,W,3) uint8 image as (H,W) float64."""
    return 16 + rgb.astype(np.float64) @ (np.array([65.481, 128.553, 24.966]) / 255)


def psnr_y(sr: np.ndarray, gt: np.ndarray, border: int) -> float:
    """Return the PSNR in dB of two (H,W,3) uint8 images on Y, with `border` pixels cropped."""
    inner = slice(border, -border or None)
    difference = luma(sr)[inner, inner] - luma(gt)[inner, inner]
    error = float(np.mean(difference**2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def ssim_y(sr: np.ndarray, gt: np.ndarray, border: int) -> float:
    """Return the SSIM of two (H,W,3) uint8 images on Y, with `border` pixels cropped."""
    from skimage.metrics import structural_similarity

    inner = slice(border, -border or None)
    # scikit-image truncates at 3.5 sigma, which gives the 11x11 window of the original.
    similarity = structural_similarity(
        luma(sr)[inner, inner],
        luma(gt)[inner, inner],
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return cast(float, similarity)


def consistency(sr: np.ndarray, lq: np.ndarray) -> float:
    """Return the PSNR in dB (RGB) of a result, scaled down again, against its input.

    Args:
        sr: (H*s,W*s,3) uint8 result, which is scaled down by Pillow's antialiased bicubic.
        lq: (H,W,3) uint8 input.
    """
    size = (lq.shape[1], lq.shape[0])
    small = np.asarray(Image.fromarray(sr).resize(size, Image.Resampling.BICUBIC))
    error = float(np.mean((small.astype(np.float64) - lq) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def colour_drift(sr: np.ndarray, lq: np.ndarray) -> float:
    """Return how far the mean colour of a result is from that of its input.

    Args:
        sr: (H*s,W*s,3) uint8 result.
        lq: (H,W,3) uint8 input, which is enlarged by Pillow's bicubic.

    Returns:
        The largest difference of the three channels, in steps of 255.
    """
    size = (sr.shape[1], sr.shape[0])
    bicubic = np.asarray(Image.fromarray(lq).resize(size, Image.Resampling.BICUBIC))
    return float(np.abs(sr.mean(axis=(0, 1)) - bicubic.mean(axis=(0, 1))).max())


FLAT_BLOCK = 8
"""Side in pixels of the blocks in which `flat_noise` looks for noise."""

FLAT_DEVIATION = 2
"""Standard deviation of luma, of 255, below which a block of the original counts as flat."""


def flat_noise(sr: np.ndarray, gt: np.ndarray) -> float | None:
    """Return how much a result varies where the original is flat.

    PSNR and LPIPS hardly notice grain and JPEG blocks in a sky or on a wall. People do.

    Args:
        sr: (H,W,3) uint8.
        gt: The original, of the same shape. Its 8x8 blocks whose luma has a standard deviation
            below 2 of 255 count as flat.

    Returns:
        The standard deviation of the result's luma within such a block, of 255, averaged over the
        blocks; None if no block is flat.
    """
    flat = _block_deviations(gt) < FLAT_DEVIATION
    return float(_block_deviations(sr)[flat].mean()) if flat.any() else None


def _block_deviations(rgb: np.ndarray) -> np.ndarray:
    """Return the standard deviation of luma, of 255, in every whole block of an image."""
    rows, columns = (side // FLAT_BLOCK for side in rgb.shape[:2])
    y = luma(rgb[: rows * FLAT_BLOCK, : columns * FLAT_BLOCK]) * (255 / 219)  # luma spans 219
    blocks = y.reshape(rows, FLAT_BLOCK, columns, FLAT_BLOCK)
    return blocks.std(axis=(1, 3))
