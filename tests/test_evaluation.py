"""The protocol's figures, and those of the shipped weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.degrade import degraded_set
from hsr_hub import HSRNet
from hsr_hub.evaluation import data_root, evaluate, find_pairs, luma, psnr_y, read_pair, ssim_y
from hsr_hub.hub import BUNDLED, bundled_models
from tests.util import ROOT, needs_test_sets

BICUBIC = {"Set5": 28.43, "Set14": 26.09, "BSD100": 25.96}


def bicubic(lq: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(lq).resize(size, Image.Resampling.BICUBIC))


@needs_test_sets
@pytest.mark.parametrize("name", BICUBIC)
def test_protocol_gives_the_fields_bicubic_figures(name: str):
    values = []
    for lq_path, gt_path in find_pairs(data_root() / "test" / name, 4):
        lq, gt = read_pair(lq_path, gt_path, 4)
        values.append(psnr_y(bicubic(lq, (gt.shape[1], gt.shape[0])), gt, border=4))
    assert np.mean(values) == pytest.approx(BICUBIC[name], abs=0.005)


@needs_test_sets
@pytest.mark.parametrize(("name", "lpips"), [("Set5", 0.286), ("Set14", 0.371)])
def test_lpips_gives_the_known_bicubic_figures(name: str, lpips: float):
    from hsr_hub.evaluation import LpipsSqueeze

    metric = LpipsSqueeze(data_root() / "weights")
    values = []
    for lq_path, gt_path in find_pairs(data_root() / "test" / name, 4):
        lq, gt = read_pair(lq_path, gt_path, 4)
        values.append(metric.distance(bicubic(lq, (gt.shape[1], gt.shape[0])), gt))
    assert np.mean(values) == pytest.approx(lpips, abs=0.0006)


def test_psnr_by_its_definition():
    gt = np.full((20, 20, 3), 100, np.uint8)
    off = gt + np.uint8(10)
    # Ten grey steps are 10 * 219 / 255 on the Y scale.
    expected = 20 * np.log10(255 / (10 * 219 / 255))
    assert psnr_y(off, gt, border=4) == pytest.approx(expected, abs=1e-4)
    off[:4] = off[-4:] = 0  # in the border, so not counted
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


def test_pairs_are_found_made_and_checked(test_set: Path, tmp_path: Path):
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
    Image.new("RGB", (9, 9)).save(only_hr / "LRx2" / "cat.png")
    with pytest.raises(ValueError, match="9x9"):
        read_pair(only_hr / "LRx2" / "cat.png", gt_path, 2)


def test_shipped_weights_beat_bicubic_on_the_stand_in(test_set: Path):
    figures = evaluate(HSRNet.from_pretrained("hsr-lite-x4"), test_set, progress=False)
    assert figures.psnr_y > figures.bicubic_psnr_y + 0.5
    assert figures.ssim_y > figures.bicubic_ssim_y


@needs_test_sets
@pytest.mark.slow
@pytest.mark.parametrize(("name", "bar"), [("Set5", 31.4), ("Set14", 28.1)])
def test_hsr_lite_x4_reaches_its_bar(name: str, bar: float):
    model = HSRNet.from_pretrained("hsr-lite-x4")
    assert evaluate(model, data_root() / "test" / name, progress=False).psnr_y >= bar


@needs_test_sets
@pytest.mark.slow
def test_the_larger_set_is_the_more_faithful_one():
    sets = [HSRNet.from_pretrained(name) for name in ("hsr-lite-x4", "hsr-x4")]
    lite, large = (evaluate(s, data_root() / "test" / "Set14", progress=False) for s in sets)
    assert large.psnr_y > lite.psnr_y


@needs_test_sets
@pytest.mark.slow
@pytest.mark.parametrize("name", bundled_models())
def test_the_cards_figures_are_todays(name: str, tmp_path: Path):
    """What the card prints is what the code measures, to the digits printed."""
    card = (BUNDLED / name / "README.md").read_text()
    stored = json.loads((ROOT / "recipes" / name / "metrics.json").read_text())
    assert stored
    model = HSRNet.from_pretrained(name)
    for figures in stored:
        if figures["dataset"].startswith("BSD100"):
            continue  # two minutes; the others tell as much about drift
        today = evaluate(
            *(model, degraded_set(figures["dataset"], data_root() / "test", tmp_path)),
            scale=figures["scale"],
            dtype="float32",
            progress=False,
        )
        assert today.psnr_y == pytest.approx(figures["psnr_y"], abs=0.005)
        assert today.ssim_y == pytest.approx(figures["ssim_y"], abs=0.0005)
        assert f"{figures['psnr_y']:.2f} ({figures['bicubic_psnr_y']:.2f})" in card


@needs_test_sets
@pytest.mark.slow
def test_the_default_type_costs_nothing_to_speak_of():
    """Whatever `dtype=None` means on this machine: at most 0.01 dB on Set14."""
    model = HSRNet.from_pretrained("hsr-lite-x4")
    folder = data_root() / "test" / "Set14"
    default, exact = (
        evaluate(model, folder, dtype=dtype, progress=False).psnr_y for dtype in (None, "float32")
    )
    assert default >= exact - 0.01
