"""The metrics, the test sets, and the results of the bundled models."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.degrade import degraded_set
from hsr_hub import HSRNet
from hsr_hub.evaluation import (
    LpipsSqueeze,
    Metrics,
    data_root,
    evaluate,
    find_pairs,
    luma,
    psnr_y,
    read_pair,
    ssim_y,
)
from hsr_hub.hub import BUNDLED, bundled_models
from tests.util import ROOT, needs_test_sets

BICUBIC = {"Set5": 28.43, "Set14": 26.09, "BSD100": 25.96}


@functools.cache
def measured(name: str, folder: Path, dtype: str | None = None, scale: int = 4) -> Metrics:
    """Return the metrics of a bundled model on a test set, which several tests look at."""
    model = HSRNet.from_pretrained(name)
    return evaluate(model, folder, scale=scale, dtype=dtype, progress=False)


def bicubic(lq: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(lq).resize(size, Image.Resampling.BICUBIC))


@needs_test_sets
@pytest.mark.parametrize("name", BICUBIC)
def test_psnr_of_bicubic_is_the_published_one(name: str):
    values = []
    for lq_path, gt_path in find_pairs(data_root() / "test" / name, 4):
        lq, gt = read_pair(lq_path, gt_path, 4)
        values.append(psnr_y(bicubic(lq, (gt.shape[1], gt.shape[0])), gt, border=4))
    assert np.mean(values) == pytest.approx(BICUBIC[name], abs=0.005)


@needs_test_sets
@pytest.mark.parametrize(("name", "lpips"), [("Set5", 0.286), ("Set14", 0.371)])
def test_lpips_of_bicubic_is_the_known_one(name: str, lpips: float):
    metric = LpipsSqueeze(data_root() / "weights")
    values = []
    for lq_path, gt_path in find_pairs(data_root() / "test" / name, 4):
        lq, gt = read_pair(lq_path, gt_path, 4)
        values.append(metric.distance(bicubic(lq, (gt.shape[1], gt.shape[0])), gt))
    assert np.mean(values) == pytest.approx(lpips, abs=0.0006)


def test_psnr_agrees_with_its_definition():
    gt = np.full((20, 20, 3), 100, np.uint8)
    off = gt + np.uint8(10)
    # Ten grey steps are 10 * 219 / 255 on the Y scale.
    expected = 20 * np.log10(255 / (10 * 219 / 255))
    assert psnr_y(off, gt, border=4) == pytest.approx(expected, abs=1e-4)
    off[:4] = off[-4:] = 0  # the border does not count
    assert psnr_y(off, gt, border=4) == pytest.approx(expected, abs=1e-4)
    assert psnr_y(gt, gt, border=4) == float("inf")
    assert luma(np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)).tolist() == [
        [16, pytest.approx(235)]
    ]


def test_ssim_falls_with_noise(small_photo: Image.Image, rng):
    gt = np.asarray(small_photo)
    noisy = (gt + rng.normal(0, 20, gt.shape)).clip(0, 255).astype(np.uint8)
    assert ssim_y(gt, gt, border=4) == pytest.approx(1)
    assert 0.2 < ssim_y(noisy, gt, border=4) < 0.95


def test_pairs_are_found_made_and_compared(test_set: Path, tmp_path: Path):
    assert len(find_pairs(test_set, 4)) == 3
    only_hr = tmp_path / "set"
    (only_hr / "HR").mkdir(parents=True)
    with Image.open(test_set / "HR" / "cat.png") as image:
        image.crop((0, 0, 63, 45)).save(only_hr / "HR" / "cat.png")
    ((lq_path, gt_path),) = find_pairs(only_hr, 2)
    lq, gt = read_pair(lq_path, gt_path, 2)
    assert (lq.shape, gt.shape) == ((22, 31, 3), (44, 62, 3))
    (only_hr / "LRx2").mkdir()
    with pytest.raises(FileNotFoundError, match=r"cat\.png"):
        find_pairs(only_hr, 2)
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*Set5"):
        find_pairs(tmp_path / "Set5", 2)
    Image.new("RGB", (9, 9)).save(only_hr / "LRx2" / "cat.png")
    with pytest.raises(ValueError, match="9x9"):
        read_pair(only_hr / "LRx2" / "cat.png", gt_path, 2)


def test_bundled_weights_beat_bicubic_on_the_small_test_set(test_set: Path):
    metrics = evaluate(HSRNet.from_pretrained("hsr-lite-x4"), test_set, progress=False)
    assert metrics.psnr_y > metrics.bicubic_psnr_y + 0.5
    assert metrics.ssim_y > metrics.bicubic_ssim_y


@needs_test_sets
@pytest.mark.slow
@pytest.mark.parametrize(("name", "bar"), [("Set5", 31.4), ("Set14", 28.1)])
def test_hsr_lite_x4_reaches_its_bar(name: str, bar: float):
    assert measured("hsr-lite-x4", data_root() / "test" / name).psnr_y >= bar


@needs_test_sets
@pytest.mark.slow
def test_the_larger_model_has_the_higher_psnr():
    folder = data_root() / "test" / "Set14"
    lite, large = (measured(name, folder) for name in ("hsr-lite-x4", "hsr-x4"))
    assert large.psnr_y > lite.psnr_y


@needs_test_sets
@pytest.mark.slow
@pytest.mark.parametrize("name", bundled_models())
def test_the_metrics_of_the_cards_are_reproduced(name: str, tmp_path: Path):
    """To the digits that the card shows."""
    card = (BUNDLED / name / "README.md").read_text()
    stored = json.loads((ROOT / "recipes" / name / "metrics.json").read_text())
    assert stored
    for metrics in stored:
        if metrics["dataset"].startswith("BSD100"):
            continue  # takes two minutes
        folder = degraded_set(metrics["dataset"], data_root() / "test", tmp_path)
        today = measured(name, folder, "float32", metrics["scale"])
        assert today.psnr_y == pytest.approx(metrics["psnr_y"], abs=0.005)
        assert today.ssim_y == pytest.approx(metrics["ssim_y"], abs=0.0005)
        assert f"{metrics['psnr_y']:.2f} ({metrics['bicubic_psnr_y']:.2f})" in card


@needs_test_sets
@pytest.mark.slow
def test_the_default_dtype_costs_at_most_a_hundredth_of_a_decibel():
    """On Set14, with what `dtype=None` chooses on this machine."""
    folder = data_root() / "test" / "Set14"
    default, exact = (measured("hsr-lite-x4", folder, dtype).psnr_y for dtype in (None, "float32"))
    assert default >= exact - 0.01
