"""What training does to its input: seeded, aligned to the ground truth, and sometimes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from hsr_hub.training import degradations
from hsr_hub.training.degradations import CLEAN, CLEAN_COMPRESSED, degrade

SCALE = 4


def smooth(height: int, width: int) -> np.ndarray:
    """Return coloured waves, far below the limit of the low resolution, equal in phase.

    Were the channels out of phase, a codec that fades colours would seem to move each of them.
    """
    y, x = np.mgrid[:height, :width] / SCALE
    waves = np.sin(x / 3) + np.sin(y / 2.5) + np.sin((x + y) / 4)
    return (128 + waves[..., None] * np.array([40, 30, 15])).round().clip(0, 255).astype(np.uint8)


def bicubic(gt: np.ndarray) -> np.ndarray:
    """Return the clean low-resolution image."""
    size = (gt.shape[1] // SCALE, gt.shape[0] // SCALE)
    return np.asarray(Image.fromarray(gt).resize(size, Image.Resampling.BICUBIC))


def shift(lq: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Return how far `lq` is right of and below `clean`, by least squares, in pixels."""
    reference = clean.astype(float)
    down, right = np.gradient(reference, axis=(0, 1))
    terms = [reference, np.ones_like(reference), -right, -down]
    columns = np.stack([term[4:-4, 4:-4].ravel() for term in terms], axis=1)
    return np.linalg.lstsq(columns, lq[4:-4, 4:-4].ravel().astype(float), rcond=None)[0][2:]


def test_the_measure_of_alignment_sees_a_known_shift():
    gt = smooth(256, 384)
    moved = np.roll(gt, (2, 1), axis=(0, 1))
    assert shift(bicubic(moved), bicubic(gt)) == pytest.approx([0.25, 0.5], abs=0.02)


def test_nothing_moves_the_image_or_its_brightness():
    gt = smooth(256, 384)
    clean = bicubic(gt)
    results = [degrade(gt, SCALE, np.random.default_rng(seed)) for seed in range(120)]
    shifts = np.array([shift(lq, clean) for lq in results])
    assert np.abs(shifts).max() < 0.1
    assert np.abs(shifts.mean(axis=0)).max() < 0.01
    drift = [lq.mean(axis=(0, 1)) - clean.mean(axis=(0, 1)) for lq in results]
    assert np.abs(np.mean(drift, axis=0)).max() < 0.5


@pytest.mark.parametrize(
    "codec", [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)], ids=["jpeg", "webp", "avif"]
)
def test_a_shifted_grid_does_not_shift_the_image(
    codec: tuple[float, float], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(degradations, "WEBP", codec[0])
    monkeypatch.setattr(degradations, "AVIF", codec[1])
    clean = bicubic(smooth(256, 384))
    for seed in range(12):
        rng = np.random.default_rng(seed)
        saved = np.asarray(degradations._compress_shifted(Image.fromarray(clean), rng))
        assert saved.shape == clean.shape
        assert np.abs(shift(saved, clean)).max() < 0.05


def test_the_generator_decides_everything():
    gt = smooth(48, 96)
    for seed in range(20):
        one, two = (degrade(gt, SCALE, np.random.default_rng(seed)) for _ in range(2))
        assert one.shape == (12, 24, 3) and one.dtype == np.uint8
        np.testing.assert_array_equal(one, two)
        assert (one != degrade(gt, SCALE, np.random.default_rng(seed + 1000))).any()


def test_some_samples_are_clean():
    gt = smooth(32, 32)
    clean = bicubic(gt)
    count = 3000
    same = sum(
        np.array_equal(degrade(gt, SCALE, np.random.default_rng(seed)), clean)
        for seed in range(count)
    )
    # A few of the others also lose every draw: no fault, the bicubic filter, no codec.
    share = CLEAN * (1 - CLEAN_COMPRESSED)
    assert share - 0.02 < same / count < share + 0.05
