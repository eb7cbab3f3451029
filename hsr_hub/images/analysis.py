"""What an image file went through: compression, noise and blur, read from its header and pixels.

Everything is measured at full resolution, because a smaller copy hides blocks and noise. Large
images are measured on a few crops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from hsr_hub.images.compression import file_compression, read_compression
from hsr_hub.images.image_data import ImageData

CROP = 384
"""Side of a crop in pixels, a multiple of the JPEG block."""

CROPS = 3
"""Crops per axis. Smaller images are measured whole."""

BLOCK = 8
"""Side of a JPEG block in pixels."""

GRID_CROP = 192
"""Side of the part of a crop on which the grid of blocks is searched, as that takes 64 passes."""

ZERO = 1.0
"""Largest DCT coefficient that counts as zero: rounding to 8 bits leaves about 0.3."""

FEW = 0.02
"""Share of coefficients above zero that says little, in images that are nearly plain."""

NOISE_BLOCK = 16
"""Side of a block on which noise is measured, in pixels."""

FLATTEST = 0.1
"""Quantile of the blocks' noise that is the image's."""

MOSTLY_EQUAL = 0.5
"""Share of equal neighbours above which a block has no noise. Noise of 1 of 255 leaves a third."""

BIAS = 0.93
"""What that quantile of pure noise is relative to the noise."""

MIDDLE = 127.5
"""Middle of the range of values."""

CLIPPED = 12.0
"""Distance from black and white within which noise is clipped."""

EDGE_WIDTH = 5
"""Pixels over which the height of an edge is taken for sharpness."""

LOWEST_EDGE = 6.0
"""Lowest edge that counts for sharpness, of 255."""

STRONGEST = 0.1
"""Share of the edges, those of the largest height, that count for sharpness."""

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True)
class ImageTraits:
    """What the header and the pixels of an image say about its history.

    Attributes:
        codec: `"JPEG"`, `"WEBP"` (lossy), `"WEBP-lossless"`, `"AVIF"`, `"HEIF"`, `"PNG"`, `"GIF"`,
            `"BMP"`, `"TIFF"`, or `""` where it is not known.
        quality: Quality of a JPEG file on libjpeg's scale, or of a lossy WebP file on libwebp's,
            1 to 100; None for other files.
        blockiness: How many fewer high frequencies blocks contain on one 8x8 grid than on all
            others, relative to those: 0 without a grid, up to 1 after strong compression.
        grid: (x, y) of the first block's corner on that grid, each 0 to 7.
        luma_noise: Standard deviation of the noise in luma, of 255.
        chroma_noise: The same for the two chroma channels; 0 for grey images.
        sharpness: Steepest step between two pixels of an edge, relative to the edge's height over
            five pixels: near 1 for hard edges, 0.4 after a Gaussian blur of one pixel, 0.2 for
            ramps. 1 where no edge is found.
        repetition: Share of pixels that equal their right neighbour: near 0 for photos, above one
            half for most drawings and screenshots.
    """

    codec: str = ""
    quality: int | None = None
    blockiness: float = 0.0
    grid: tuple[int, int] = (0, 0)
    luma_noise: float = 0.0
    chroma_noise: float = 0.0
    sharpness: float = 1.0
    repetition: float = 0.0


def inspect_file(source: str | Path | BinaryIO, image: ImageData) -> ImageTraits:
    """Return the traits of a file and of the image that was read from it.

    A header that cannot be read leaves `codec` empty; it never raises for a damaged file.

    Args:
        source: A path, or a binary file, whose position is kept.
        image: The decoded file.
    """
    if isinstance(source, (str, Path)):
        return analyse(image, *file_compression(source))
    return analyse(image, *read_compression(source))


def analyse(image: ImageData, codec: str = "", quality: int | None = None) -> ImageTraits:
    """Return the traits of an image; fully transparent pixels are left out.

    Args:
        image: 8 or 16 bits, of any size.
        codec: See `ImageTraits`; only passed on.
        quality: Only passed on.
    """
    planes = [_planes(crop) for crop in _crops(image.array)]
    lumas = [luma for luma, _ in planes]
    blockiness, grid = measure_blockiness(lumas)
    luma_noise = measure_noise(lumas)
    chroma = [measure_noise(list(channel)) for channel in zip(*(c for _, c in planes), strict=True)]
    return ImageTraits(
        codec=codec,
        quality=quality,
        blockiness=blockiness,
        grid=grid,
        luma_noise=luma_noise,
        chroma_noise=float(np.sqrt(np.mean(np.square(chroma)))) if chroma else 0.0,
        sharpness=measure_sharpness(lumas, luma_noise),
        repetition=measure_repetition(lumas),
    )


def _high_frequencies() -> np.ndarray:
    """Return the rows 2 to 7 of the orthonormal DCT of 8 values, shape (6, 8)."""
    frequency, place = np.arange(2, BLOCK)[:, None], np.arange(BLOCK)[None]
    return (np.cos((2 * place + 1) * frequency * np.pi / (2 * BLOCK)) / 2).astype(np.float32)


HIGH_FREQUENCIES = _high_frequencies()


def _crops(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the image, or a grid of crops of it, all on the same phase of the 8x8 grid."""
    if array.ndim == 3 and array.shape[2] in {2, 4}:
        array = _visible(array)
    whole = max(array.shape[:2]) <= CROP * CROPS
    yield from [array] if whole else _windows(array, CROP, CROPS)


def _windows(array: np.ndarray, side: int, count: int) -> Iterator[np.ndarray]:
    """Yield up to `count` windows per axis, spread evenly and begun on whole blocks."""
    rows, columns = (_spread(length, side, count) for length in array.shape[:2])
    for top in rows:
        for left in columns:
            yield array[top : top + side, left : left + side]


def _spread(length: int, side: int, count: int) -> list[int]:
    """Return where the windows along one axis begin. One window is in the middle."""
    count = min(count, -(-length // side))
    room = length - side
    if count == 1:
        return [max(0, room) // 2 // BLOCK * BLOCK]
    return [room * i // (count - 1) // BLOCK * BLOCK for i in range(count)]


def _visible(array: np.ndarray) -> np.ndarray:
    """Return the part of an image with alpha that is not transparent, begun on a whole block."""
    opaque = array[..., -1] > 0
    rows, columns = (np.flatnonzero(opaque.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return array
    top, left = (int(indices[0]) // BLOCK * BLOCK for indices in (rows, columns))
    return array[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]


def _planes(crop: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return luma and the chroma planes (none for grey) as float32 of 255.

    Transparent pixels are NaN, which every difference with them passes on.
    """
    values = crop.astype(np.float32)
    if crop.dtype == np.uint16:
        values /= 257
    if values.ndim == 2:
        values = values[..., None]
    channels = values.shape[2]
    if channels in {2, 4}:
        values[values[..., -1] == 0] = np.nan
    if channels <= 2:
        return values[..., 0], []
    luma = values[..., :3] @ LUMA
    chroma = [(values[..., 2] - luma) * 0.564, (values[..., 0] - luma) * 0.713]
    return luma, chroma


def measure_blockiness(lumas: list[np.ndarray]) -> tuple[float, tuple[int, int]]:
    """Return how clearly an image was cut into 8x8 blocks, see `ImageTraits`, and their (x, y).

    JPEG rounds most high frequencies of a block to zero. They stay near zero on the grid that was
    used, and only there, because any other block contains parts of two or four of the old ones.
    This is visible at qualities at which the steps between blocks are not.

    Args:
        lumas: Crops of one image, (H,W) float of 255, NaN where unknown, all on the same phase of
            the grid.
    """
    # Repeated pixels are plain on a grid of their own, which says nothing about compression.
    if _has_repeated_pixels(lumas):
        return 0.0, (0, 0)
    used, total = np.zeros((BLOCK, BLOCK)), np.zeros((BLOCK, BLOCK))
    per_axis = CROPS if len(lumas) == 1 else 1
    for luma in (window for crop in lumas for window in _windows(crop, GRID_CROP, per_axis)):
        for y in range(BLOCK):
            rows = (luma.shape[0] - y) // BLOCK
            if rows < 1:
                continue
            bands = luma[y : y + rows * BLOCK].reshape(rows, BLOCK, -1)
            bands = np.ascontiguousarray((HIGH_FREQUENCIES @ bands).transpose(0, 2, 1))
            for x in range(BLOCK):
                columns = (luma.shape[1] - x) // BLOCK
                if columns < 1:
                    continue
                blocks = bands[:, x : x + columns * BLOCK].reshape(rows * columns, BLOCK, -1)
                coefficients = HIGH_FREQUENCIES @ blocks
                used[y, x] += np.count_nonzero(np.abs(coefficients) > ZERO)
                total[y, x] += np.count_nonzero(np.isfinite(coefficients))
    if not total.all():
        return 0.0, (0, 0)
    shares = used / total
    y, x = divmod(int(shares.argmin()), BLOCK)
    median = float(np.median(shares))
    return (median - float(shares[y, x])) / (median + FEW), (x, y)


def _has_repeated_pixels(lumas: list[np.ndarray]) -> bool:
    """Return whether an image was enlarged by repeating its pixels 2, 4, 8, ... times."""
    even, odd = (
        sum(np.count_nonzero(np.diff(luma, axis=1)[:, start::2]) for luma in lumas)
        for start in (0, 1)
    )
    return even != odd and min(even, odd) == 0


def measure_noise(planes: list[np.ndarray]) -> float:
    """Return the standard deviation of the noise of a channel on its flattest blocks, of 255.

    A block's noise is its mean absolute response to the filter of Immerkaer, "Fast Noise Variance
    Estimation" (1996), which ignores ramps and edges along an axis. Texture only adds to it, so
    the lowest blocks count. Blocks near black and white do not, because noise is clipped there. A
    block whose pixels mostly equal their neighbours has no noise: it is part of a drawing.

    Args:
        planes: Crops of one channel, (H,W) float of 255, NaN where unknown.
    """
    found = []
    for plane in planes:
        if min(plane.shape) < 3:
            continue
        curves = plane[:-2] - 2 * plane[1:-1] + plane[2:]
        response = np.abs(curves[:, :-2] - 2 * curves[:, 1:-1] + curves[:, 2:])
        noise = _block_means(response) * np.sqrt(np.pi / 2) / 6
        equal = np.diff(plane, axis=1)[1:-1, :-1] == 0
        noise[_block_means(equal) > MOSTLY_EQUAL] = 0
        level = _block_means(plane[1:-1, 1:-1])
        found.append(np.stack([noise, np.abs(level - MIDDLE)]))
    noise, from_middle = np.concatenate([np.zeros((2, 0)), *found], axis=1)
    known = np.isfinite(noise)
    inside = known & (from_middle < MIDDLE - CLIPPED)
    chosen = noise[inside if inside.any() else known]
    return float(np.quantile(chosen, FLATTEST) / BIAS) if len(chosen) else 0.0


def measure_repetition(lumas: list[np.ndarray]) -> float:
    """Return the share of pixels that equal their right neighbour; 0 for images one pixel wide."""
    equal = [np.diff(luma, axis=1) == 0 for luma in lumas if luma.shape[1] > 1]
    return float(np.mean(np.concatenate([values.ravel() for values in equal]))) if equal else 0.0


def _block_means(values: np.ndarray) -> np.ndarray:
    """Return the means of the whole blocks of a plane, or of all of it if it is smaller."""
    height, width = (min(NOISE_BLOCK, side) for side in values.shape)
    rows, columns = values.shape[0] // height, values.shape[1] // width
    blocks = values[: rows * height, : columns * width].reshape(rows, height, columns, width)
    return blocks.mean(axis=(1, 3)).ravel()


def measure_sharpness(lumas: list[np.ndarray], noise: float = 0.0) -> float:
    """Return the steepest step of edges relative to their height, see `ImageTraits`.

    Args:
        lumas: Crops of one image, (H,W) float of 255, NaN where unknown.
        noise: Standard deviation of the noise, of 255. Lower differences are not taken for edges.
    """
    heights, steepest = [np.zeros(0)], [np.zeros(0)]
    for plane in [axis for luma in lumas for axis in (luma, luma.T)]:
        places = plane.shape[1] - EDGE_WIDTH
        if places < 1:
            continue
        steps = np.abs(np.diff(plane, axis=1))
        height = np.abs(plane[:, EDGE_WIDTH:] - plane[:, :-EDGE_WIDTH])
        largest = steps[:, :places].copy()
        for offset in range(1, EDGE_WIDTH):
            np.maximum(largest, steps[:, offset : offset + places], out=largest)
        edges = np.isfinite(largest) & (height >= max(LOWEST_EDGE, 4 * noise))
        heights.append(height[edges])
        steepest.append(largest[edges])
    height, step = np.concatenate(heights), np.concatenate(steepest)
    if not len(height):
        return 1.0
    strong = height >= np.quantile(height, 1 - STRONGEST)
    return float(min(1.0, np.median(step[strong] / height[strong])))
