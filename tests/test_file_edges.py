"""Images of two values keep hard edges: transparency, scans and text."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from hsr_hub import HSRNet
from hsr_hub.images import ImageData
from hsr_hub.inference import UpscaleOptions, upscale_image


@pytest.fixture(scope="module")
def shipped() -> HSRNet:
    return HSRNet.from_pretrained("hsr-lite-x4")


def drawing(side: int = 48) -> np.ndarray:
    """Return a disc with a hole and a line, of 0 and 255."""
    image = Image.new("L", (side, side))
    draw = ImageDraw.Draw(image)
    draw.ellipse((4, 4, side - 6, side - 6), fill=255)
    draw.ellipse((18, 18, 26, 26), fill=0)
    draw.line((2, side - 3, side - 3, side - 3), fill=255)
    return np.asarray(image)


def flat_areas(mask: np.ndarray, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where all 3x3 source pixels are equal, and the nearest source values."""
    padded = np.pad(mask, 1, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    flat = (windows == windows[:, :, :1, :1]).all((2, 3))
    ones = np.ones((scale, scale), mask.dtype)
    return np.kron(flat, ones).astype(bool), np.kron(mask, ones)


@pytest.mark.parametrize("size", [(192, 192), (130, 131)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_hard_transparency_stays_hard(shipped: HSRNet, rng, size, dtype):
    alpha = drawing().astype(dtype) * (np.iinfo(dtype).max // 255)
    colour = rng.integers(0, np.iinfo(dtype).max, (48, 48, 3)).astype(dtype)
    image = ImageData(np.dstack([colour, alpha]))
    result = upscale_image(shipped, image, UpscaleOptions(size=size)).array[:, :, 3]
    assert set(np.unique(result)) == {0, np.iinfo(dtype).max}
    if size == (192, 192):
        flat, nearest = flat_areas(alpha, 4)
        assert (result[flat] == nearest[flat]).all()
    covered = (result > 0).mean()
    assert covered == pytest.approx((alpha > 0).mean(), abs=0.01)


def test_soft_transparency_stays_soft(shipped: HSRNet):
    alpha = np.clip(np.arange(48)[None] * 6, 0, 255).repeat(48, 0).astype(np.uint8)
    image = ImageData(np.dstack([np.full((48, 48, 3), 90, np.uint8), alpha]))
    result = upscale_image(shipped, image).array[:, :, 3]
    assert len(np.unique(result)) > 100


def test_scans_of_two_values_have_no_rings(shipped: HSRNet):
    scan = 255 - drawing()
    flat, nearest = flat_areas(scan, 4)
    for array in (scan, scan[:, :, None].repeat(3, 2)):
        result = upscale_image(shipped, ImageData(array)).array
        assert (result[flat].reshape(flat.sum(), -1) == nearest[flat][:, None]).all()
        assert len(np.unique(result)) > 10  # edges are smooth
