"""How the degraded test sets of the results are made: blur, resizing, noise, JPEG, and again.

This is the fixed protocol behind every figure on a degraded set. It is independent from what
training draws, so that figures stay comparable when training changes. A change here makes the
published results void. After the second-order model of Real-ESRGAN (Wang et al. 2021).
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFilter

FILTERS = (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)


def degrade(gt: np.ndarray, scale: int, rng: np.random.Generator) -> np.ndarray:
    """Return a low-resolution image as it might have been sent by somebody.

    Args:
        gt: (H,W,3) uint8, H and W multiples of `scale`.
        scale: Factor between the two images.
        rng: Source of every choice.

    Returns:
        (H/scale,W/scale,3) uint8.
    """
    image = Image.fromarray(gt)
    size = (image.width // scale, image.height // scale)

    # Each stage and each fault is sometimes left out, so that every fault is also met alone: a
    # network that only knows blocks together with blur sharpens the blocks.
    if rng.random() < 0.75:
        image = _blur(image, rng, largest=0.6 * scale)
        # Anywhere between the two sizes, or a little below the smaller: scaled up again later.
        image = _resize(image, size, rng.uniform(0.8, scale), rng)
        image = _noise(image, rng, largest=15)
        image = _jpeg(image, rng, worst=30)
    if rng.random() < 0.5:
        image = _blur(image, rng, largest=0.8)
        image = _resize(image, size, rng.uniform(0.7, 1.3), rng)
        image = _noise(image, rng, largest=10)
    image = image.resize(size, FILTERS[rng.integers(len(FILTERS))])
    image = _jpeg(image, rng, worst=25)
    return np.asarray(image)


def _blur(image: Image.Image, rng: np.random.Generator, largest: float) -> Image.Image:
    if rng.random() < 0.4:
        return image
    radii = rng.uniform(0, largest, 2)
    if rng.random() < 0.5:
        radii[1] = radii[0]  # isotropic
    return image.filter(ImageFilter.GaussianBlur((float(radii[0]), float(radii[1]))))


def _resize(
    image: Image.Image, size: tuple[int, int], factor: float, rng: np.random.Generator
) -> Image.Image:
    """Return the image at `factor` times the size, by a random filter."""
    target = (max(1, round(size[0] * factor)), max(1, round(size[1] * factor)))
    return image.resize(target, FILTERS[rng.integers(len(FILTERS))])


def _noise(image: Image.Image, rng: np.random.Generator, largest: float) -> Image.Image:
    """Add sensor noise (grows with brightness) or even noise, coloured or grey."""
    if rng.random() < 0.4:
        return image
    values = np.asarray(image, dtype=np.float32)
    channels = 1 if rng.random() < 0.4 else 3
    noise = rng.standard_normal((*values.shape[:2], channels), dtype=np.float32)
    sigma = rng.uniform(0, largest)
    if rng.random() < 0.5:
        noise *= np.sqrt(values.mean(axis=2, keepdims=True) / 128)
    return Image.fromarray((values + sigma * noise).round().clip(0, 255).astype(np.uint8))


def _jpeg(image: Image.Image, rng: np.random.Generator, worst: int) -> Image.Image:
    if rng.random() < 0.2:
        return image
    subsampling = "4:4:4" if rng.random() < 0.3 else "4:2:0"
    return _compressed(image, int(rng.integers(worst, 96)), subsampling)


def _compressed(image: Image.Image, quality: int, subsampling: str) -> Image.Image:
    """Return the image through a JPEG file, the one step that depends on a library's version."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return Image.open(buffer).convert("RGB")
