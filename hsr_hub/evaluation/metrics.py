"""Metrics by the field's protocol.

PSNR and SSIM on the Y channel (BT.601, 16-235) of 8-bit images, a border of `scale` pixels cropped;
SSIM with an 11x11 Gaussian window of sigma 1.5. Grey images are measured as RGB.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from PIL import Image


def luma(rgb: np.ndarray) -> np.ndarray:
    """(H,W,3) uint8 to (H,W) float64, BT.601 in its 16-235 range."""
    return 16 + rgb.astype(np.float64) @ (np.array([65.481, 128.553, 24.966]) / 255)


def psnr_y(sr: np.ndarray, gt: np.ndarray, border: int) -> float:
    """PSNR in dB between the Y channels of two (H,W,3) uint8 images, `border` pixels cropped."""
    inner = slice(border, -border or None)
    difference = luma(sr)[inner, inner] - luma(gt)[inner, inner]
    error = float(np.mean(difference**2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def ssim_y(sr: np.ndarray, gt: np.ndarray, border: int) -> float:
    """SSIM between the Y channels of two (H,W,3) uint8 images, `border` pixels cropped."""
    from skimage.metrics import structural_similarity

    inner = slice(border, -border or None)
    # truncate=3.5 (scikit-image's own) times sigma 1.5 gives the 11x11 window of the original.
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
    """What a result keeps of the picture that was given: PSNR in dB, RGB, at the latter's size.

    Args:
        sr: (H*s,W*s,3) uint8; scaled down by antialiased bicubic (Pillow's).
        lq: (H,W,3) uint8.
    """
    size = (lq.shape[1], lq.shape[0])
    small = np.asarray(Image.fromarray(sr).resize(size, Image.Resampling.BICUBIC))
    error = float(np.mean((small.astype(np.float64) - lq) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def colour_drift(sr: np.ndarray, lq: np.ndarray) -> float:
    """How far a result's mean colour is from that of the picture that was given.

    Args:
        sr: (H*s,W*s,3) uint8.
        lq: (H,W,3) uint8; enlarged by bicubic (Pillow's).

    Returns:
        The largest of the three channels' differences, of 255.
    """
    size = (sr.shape[1], sr.shape[0])
    bicubic = np.asarray(Image.fromarray(lq).resize(size, Image.Resampling.BICUBIC))
    return float(np.abs(sr.mean(axis=(0, 1)) - bicubic.mean(axis=(0, 1))).max())
