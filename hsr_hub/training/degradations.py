"""What happens to images on their way to a user: blur, resizing, noise, sharpening, codecs.

After the second-order model of Real-ESRGAN (Wang et al. 2021): the chain of faults is run twice,
and each part is sometimes left out. The ranges are those of web images and phone photos; most
samples are mild, few are bad. Blur is the exception: it is in two thirds of the degraded samples,
because networks that see it seldom hardly remove it. Every choice is drawn from the generator that
is handed in. No step moves the image: the result stays aligned to the ground truth.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFilter

CLEAN = 0.15
"""Share of samples that are only scaled down: clean files must come out sharp and unchanged."""

CLEAN_COMPRESSED = 0.3
"""Share of the clean samples that pass a codec of high quality: even good files are compressed."""

CAPTURE = 0.75
"""Share of degraded samples with faults at a higher resolution, as a camera makes them."""

SHARING = 0.45
"""Share of degraded samples with faults near the final size, as editing and sharing make them."""

SHARPENING = 0.15
"""Share of degraded samples with halos: web sites and phones sharpen after scaling."""

COMPRESSION = 0.8
"""Share of degraded samples whose final file is compressed: the rest are PNG files."""

RESAVING = 0.15
"""Share of compressed files that were cropped and compressed once more: blocks on two grids."""

WEBP, AVIF = 0.17, 0.02
"""Shares of codecs; the rest is JPEG, the most common. AVIF is rare because it is slow."""

JPEG_QUALITY = (20, 75, 97)
WEBP_QUALITY = (30, 75, 96)
AVIF_QUALITY = (35, 65, 91)
"""Lowest, most common and highest quality, for a triangular distribution."""

Resampling = Image.Resampling
FILTERS = (Resampling.BILINEAR, Resampling.BICUBIC, Resampling.LANCZOS, Resampling.BOX)


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
    if rng.random() < CLEAN:
        image = image.resize(size, Resampling.BICUBIC)
        if rng.random() < CLEAN_COMPRESSED:
            image = _compress(image, rng, lowest=90)
        return np.asarray(image)

    # Each fault is left out more often than not, so that every fault is also met alone: a network
    # that only knows blocks together with blur sharpens the blocks.
    if rng.random() < CAPTURE:
        if rng.random() < 0.75:
            image = _blur(image, rng, largest=1.2 * scale)
        # Sizes are drawn evenly in octaves: large ones cost the most time and change the least.
        image = _resize(image, size, scale ** rng.uniform(-0.1, 1), rng)
        if rng.random() < 0.55:
            image = _noise(image, rng, largest=25)
        if rng.random() < 0.5:
            image = _compress(image, rng)
    if rng.random() < SHARING:
        if rng.random() < 0.5:
            image = _blur(image, rng, largest=1.2)
        if rng.random() < 0.5:
            image = _resize(image, size, rng.uniform(0.65, 1.4), rng)
        else:
            image = _resize(image, size, 1, rng)
        if rng.random() < 0.6:
            image = _noise(image, rng, largest=18)
    image = _resize(image, size, 1, rng)
    if rng.random() < SHARPENING:
        radius, percent = rng.uniform(0.5, 2), int(rng.integers(40, 160))
        image = image.filter(ImageFilter.UnsharpMask(radius, percent, threshold=0))
    if rng.random() < COMPRESSION:
        image = _compress(image, rng)
        if rng.random() < RESAVING:
            image = _compress_shifted(image, rng)
    return np.asarray(image)


def _blur(image: Image.Image, rng: np.random.Generator, largest: float) -> Image.Image:
    """Return the image blurred by a Gaussian of one radius, or of two along the axes."""
    radii = largest * rng.random(2)
    if rng.random() < 0.6:
        radii[1] = radii[0]  # isotropic
    return image.filter(ImageFilter.GaussianBlur((float(radii[0]), float(radii[1]))))


def _resize(
    image: Image.Image, size: tuple[int, int], factor: float, rng: np.random.Generator
) -> Image.Image:
    """Return the image at `factor` times the size, by a random filter."""
    target = (max(1, round(size[0] * factor)), max(1, round(size[1] * factor)))
    # A box takes whole pixels: below a factor of two it would move edges by up to half a pixel.
    filters = FILTERS if image.width >= 2 * target[0] else FILTERS[:-1]
    return image.resize(target, filters[rng.integers(len(filters))])


def _noise(image: Image.Image, rng: np.random.Generator, largest: float) -> Image.Image:
    """Return the image with noise: even or growing with brightness; grey, coloured or in chroma."""
    size = image.size
    sigma = largest * rng.random() ** 1.1
    grain = rng.uniform(1, 2) if rng.random() < 0.4 else 1
    kind = rng.random()
    if kind < 0.35:
        noise = _normal(size, 1, grain, rng)
    elif kind < 0.8:
        noise = _normal(size, 3, grain, rng)
    else:  # what a denoiser leaves: it smooths the luma more than the chroma
        noise = _normal(size, 3, grain + 0.7, rng)
        noise += 0.5 * _normal(size, 1, grain, rng) - noise.mean(axis=2, keepdims=True)
    values = np.asarray(image, dtype=np.float32)
    noise *= np.float32(sigma)
    if rng.random() < 0.6:  # photon noise: the variance grows with the light
        # A single channel stands for the light: the mean of three costs more than the noise.
        noise *= np.sqrt((values[..., 1:2] + 8) / 128)
    values = values + noise + 0.5  # rounds, as the conversion cuts the fraction off
    image = Image.fromarray(values.clip(0, 255).astype(np.uint8))
    if rng.random() < 0.2:  # a denoiser
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 0.8))))
    return image


def _normal(
    size: tuple[int, int], channels: int, grain: float, rng: np.random.Generator
) -> np.ndarray:
    """Return (H,W,channels) noise of variance 1, correlated over about `grain` pixels."""
    width, height = (max(2, round(side / grain)) for side in size)
    noise = rng.standard_normal((channels, height, width), dtype=np.float32)
    if grain > 1:
        fields = [Image.fromarray(field).resize(size, Resampling.BICUBIC) for field in noise]
        noise = np.stack([np.asarray(field) for field in fields])
        noise /= noise.std()
    return noise.transpose(1, 2, 0)


def _compress(image: Image.Image, rng: np.random.Generator, lowest: int = 0) -> Image.Image:
    """Return the image through a lossy codec of random settings."""
    kind = rng.random()
    if kind < AVIF:
        codec, low_common_high = "AVIF", AVIF_QUALITY
        options = {"speed": 10, "subsampling": "4:2:0", "max_threads": 1}
    elif kind < AVIF + WEBP:
        codec, low_common_high, options = "WEBP", WEBP_QUALITY, {}
    else:
        codec, low_common_high = "JPEG", JPEG_QUALITY
        options = {"subsampling": str(rng.choice(["4:4:4", "4:2:2", "4:2:0"], p=[0.3, 0.1, 0.6]))}
    drawn = rng.integers(lowest, 98) if lowest else rng.triangular(*low_common_high)
    buffer = io.BytesIO()
    image.save(buffer, codec, quality=int(drawn), **options)
    return Image.open(buffer).convert("RGB")


def _compress_shifted(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return the image compressed on a grid that is moved by up to 7 pixels, itself not moved."""
    left, top = (int(offset) for offset in rng.integers(0, 8, 2))
    left += left == top == 0
    padded = np.pad(np.asarray(image), ((top, 0), (left, 0), (0, 0)), mode="symmetric")
    moved = _compress(Image.fromarray(padded), rng)
    return moved.crop((left, top, moved.width, moved.height))
