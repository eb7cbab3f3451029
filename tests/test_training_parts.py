"""Data that depends on seed and index alone, labels as the protocol has them, validation."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from hsr_hub import HSRNet
from hsr_hub.evaluation import flat_noise
from hsr_hub.training.data import (
    LQ_MARGIN,
    Cropper,
    PhotoCrops,
    crop_margin,
    label_pyramid,
    quantise,
    resize_antialiased,
)
from hsr_hub.training.degradations import degrade
from hsr_hub.training.ema import make_ema
from hsr_hub.training.levels import LevelPairs
from hsr_hub.training.photos import FolderPhotos
from hsr_hub.training.state import RunState
from hsr_hub.training.validation import log_grid, validate


def crops(
    folder: Path, crop_size: int = 48, seed: int = 0, degradation: str = "bicubic", **options
) -> PhotoCrops:
    photos = FolderPhotos([folder], crop_size, progress=False)
    cropper = Cropper(crop_size, 4, seed, degradation)
    return PhotoCrops(photos, cropper, **{"num_samples": 64, "progress": False, **options})


def test_samples_depend_on_seed_and_index_alone(photo_folder: Path):
    plain = crops(photo_folder)
    cached = crops(photo_folder, cache_on="cpu")
    later = crops(photo_folder, first_index=10)
    assert len(later) == 54
    for index in (3, 0, 20, 11):
        assert torch.equal(plain[index]["gt"], cached[index]["gt"])
    assert torch.equal(later[0]["gt"], plain[10]["gt"])
    assert not torch.equal(crops(photo_folder, seed=1)[0]["gt"], plain[0]["gt"])
    assert plain[0]["gt"].shape == (3, 48 + 8 * LQ_MARGIN, 48 + 8 * LQ_MARGIN)
    assert plain[0]["gt"].dtype == torch.uint8


def test_every_photo_is_seen_once_per_epoch(tmp_path: Path):
    for value in range(5):
        Image.new("RGB", (48, 48), (value * 40, 0, 0)).save(tmp_path / f"{value}.png")
    data = crops(tmp_path)
    for epoch in range(3):
        reds = sorted(int(data[5 * epoch + i]["gt"][0, 0, 0]) for i in range(5))
        assert reds == [0, 40, 80, 120, 160]


def test_unusable_files_are_named_and_skipped(photo_folder: Path, tmp_path: Path, caplog):
    folder = tmp_path / "mixed"
    shutil.copytree(photo_folder, folder)
    (folder / "broken.jpg").write_bytes(b"no image")
    Image.new("RGB", (40, 400)).save(folder / "narrow.png")
    data = crops(folder)
    assert len(data.photos) == 3
    assert "broken.jpg" in caplog.text
    assert "narrow.png" in caplog.text
    with pytest.raises(ValueError, match="no usable photo"):
        crops(folder, crop_size=400)
    with pytest.raises(FileNotFoundError, match="missing"):
        crops(tmp_path / "missing")


@pytest.mark.parametrize("cache_on", [None, "cpu"])
def test_a_damaged_photo_is_named_and_replaced_by_the_next(
    tmp_path: Path, caplog, cache_on: str | None
):
    for value in range(5):
        image = Image.effect_noise((64, 64), 20).convert("RGB")
        image.paste((value * 40, 0, 0), (0, 0, 64, 48))
        image.save(tmp_path / f"{value}.png")
    damaged = tmp_path / "2.png"
    damaged.write_bytes(damaged.read_bytes()[:-2000])
    data = crops(tmp_path, cache_on=cache_on, num_samples=10, crop_size=4)
    assert len(data.photos) == 5
    drawn = [photo_of(data, index) for index in range(10)]
    again = crops(tmp_path, cache_on=None, num_samples=10, crop_size=4, first_index=5)
    assert [photo_of(again, index) for index in range(5)] == drawn[5:]
    assert caplog.text.count("2.png, which is replaced by the next photo") >= 1
    for epoch in (0, 1):
        order = np.random.default_rng((0, 0, epoch)).permutation(5).tolist()
        after = order[(order.index(2) + 1) % 5]
        expected = [after if photo == 2 else photo for photo in order]
        assert drawn[5 * epoch : 5 * epoch + 5] == expected


def photo_of(data: PhotoCrops, index: int) -> int:
    """Return which of the photos a sample is from, by the photo that the order names."""
    epoch, position = divmod(index + data.first_index, len(data.photos))
    image = data._draw(epoch, position).gt
    return round(float(image[0, 0, 0]) / 40)


def test_the_start_reads_headers_only(photo_folder: Path, monkeypatch):
    def decode(path: Path):
        raise AssertionError(f"{path} was decoded")

    monkeypatch.setattr("hsr_hub.training.photos.folders.read_rgb", decode)
    assert len(crops(photo_folder).photos) == 3


def test_labels_are_the_whole_photos_labels(photo_folder: Path, monkeypatch):
    """Cut out of the photo's own pyramid: the crop's edge leaves no trace."""
    data = crops(photo_folder)
    with Image.open(data.photos.label(0)) as image:
        photo = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255
    whole = label_pyramid(photo, [1, 2, 4])
    top, left, size, m = 40, 24, 48, 4 * LQ_MARGIN
    sample = photo[:, :, top - m : top + size + m, left - m : left + size + m]
    for level, label, full in zip(
        (1, 2, 4), crop_margin(label_pyramid(sample, [1, 2, 4]), [1, 2, 4]), whole, strict=True
    ):
        y, x, side = top * level // 4, left * level // 4, size * level // 4
        torch.testing.assert_close(label, full[:, :, y : y + side, x : x + side])


def test_resizing_is_pillows_bicubic(small_photo: Image.Image):
    crop = small_photo.crop((0, 0, 60, 44))
    ours = resize_antialiased(
        torch.from_numpy(np.array(crop)).permute(2, 0, 1)[None] / 255, (11, 15)
    )
    theirs = np.asarray(crop.resize((15, 11), Image.Resampling.BICUBIC)).astype(int)
    rounded = (quantise(ours)[0].permute(1, 2, 0) * 255).round().numpy()
    assert np.abs(rounded - theirs).max() <= 1
    with pytest.raises(ValueError, match="multiple of 4"):
        label_pyramid(torch.zeros(1, 3, 10, 8), [1, 2, 4])


def test_average_follows_the_weights(model: HSRNet):
    net = HSRNet(**model.config)
    ema = make_ema(net, decay=0.9)
    ema.update_parameters(net)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1)
    before = [p.clone() for p in ema.module.parameters()]
    ema.update_parameters(net)
    # The second update's decay is still warming up: (1 + 1) / (10 + 1).
    for old, new in zip(before, ema.module.parameters(), strict=True):
        torch.testing.assert_close(new, old + 1 - 2 / 11)
    assert not any(p.requires_grad for p in ema.parameters())


def test_validation_counts_only_numbers():
    state = RunState()
    values = (1.0, 2.0, float("nan"), float("inf"), 3.0)
    assert [state.note_validation(v) for v in values] == [True, False, False, False, False]
    assert (state.best_measure, state.validations_since_best) == (1.0, 2)


def test_flat_noise_is_the_deviation_in_flat_blocks(rng):
    gt = np.full((24, 40, 3), 90, np.uint8)
    gt[:, 16:] = rng.integers(0, 256, (24, 24, 3))
    assert flat_noise(gt, gt) == pytest.approx(0, abs=1e-9)
    sr = gt.copy()
    sr[::2, :16] += 6  # a deviation of 3 in every flat block
    sr[:, 16:] = 0  # textured blocks do not count
    assert flat_noise(sr, gt) == pytest.approx(3)
    assert flat_noise(gt[:, 16:], gt[:, 16:]) is None
    assert flat_noise(gt[:7], gt[:7]) is None  # no whole block


def test_folders_of_one_name_are_both_measured(test_set: Path, tmp_path: Path):
    other = tmp_path / "other" / test_set.name
    shutil.copytree(test_set, other)
    for name in ("HR", "LRx4"):
        for path in sorted((other / name).iterdir())[1:]:
            path.unlink()
    net = HSRNet(kernel_sizes=[3], widths=[4], fusion_width=4, reconstruction_widths=[4, 4]).eval()
    metrics = validate(net, [test_set, other], torch.device("cpu"), losses=lambda *_: {}).metrics
    each = [v for k, v in metrics.items() if k.startswith("val/psnr/")]
    assert len(each) == 2 and each[0] != each[1]
    assert metrics["val/psnr"] == pytest.approx(np.mean(each))


def test_processes_share_the_validation(test_set: Path, monkeypatch):
    net = HSRNet(kernel_sizes=[3], widths=[4], fusion_width=4, reconstruction_widths=[4, 4]).eval()

    def terms(pair: LevelPairs) -> dict[str, torch.Tensor]:
        measured.append(pair.gt[-1].shape)
        return {"pixel": (pair.sr[-1] - pair.gt[-1]).abs().mean()}

    def shared(rank: int):
        accelerator = SimpleNamespace(process_index=rank, num_processes=2)
        device = torch.device("cpu")
        return validate(net, [test_set], device, losses=terms, accelerator=accelerator)  # type: ignore[arg-type]

    measured: list = []
    gathered: list = []
    monkeypatch.setattr(
        "accelerate.utils.gather_object", lambda share: gathered.append(share) or share
    )
    shared(0)
    shared(1)
    assert [len(share) for share in gathered] == [2, 1]
    assert len(measured) == 3  # no pair was measured twice
    monkeypatch.setattr("accelerate.utils.gather_object", lambda _: [*gathered[1], *gathered[0]])
    both = shared(0)
    alone = validate(net, [test_set], torch.device("cpu"), losses=terms)
    assert both.metrics == alone.metrics
    assert both.grid is not None and alone.grid is not None
    assert both.grid.tobytes() == alone.grid.tobytes()


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "swanlab", "aim", "clearml"])
def test_the_grid_goes_to_every_tracker_that_takes_pictures(name: str):
    seen: dict = {}

    def log_images(values: dict, step: int, **options) -> None:
        seen.update(values, step=step)

    grid = Image.new("RGB", (8, 4))
    tracker = SimpleNamespace(name=name, log_images=log_images)
    log_grid([SimpleNamespace(name="no pictures"), tracker], grid, 7)
    (shown,) = (v for k, v in seen.items() if k != "step")
    assert seen["step"] == 7 and np.asarray(shown).shape[-3:] == (4, 8, 3)


def test_real_degradation_is_seeded_and_fits(photo_folder: Path):
    data = crops(photo_folder, degradation="real", crop_size=64)
    samples = [data[i] for i in range(12)]
    for index, sample in enumerate(samples):
        assert sample["lq"].shape == (3, 16, 16)
        assert sample["lq"].dtype == torch.uint8
        again = crops(photo_folder, degradation="real", crop_size=64)[index]
        assert torch.equal(sample["lq"], again["lq"])
        # Still that crop: what is left of it at low resolution is close to its plain bicubic.
        gt = sample["gt"][None].float() / 255
        plain = crop_margin(label_pyramid(gt, [1, 4]), [1, 4])[0]
        assert (sample["lq"] / 255 - plain).abs().mean() < 0.12
    differences = [
        (s["lq"] / 255 - resize_antialiased(s["gt"][None, :, 16:-16, 16:-16] / 255, (16, 16)))
        for s in samples
    ]
    strengths = [float(d.abs().mean()) for d in differences]
    assert max(strengths) > 2 * min(strengths)  # some pictures suffer more than others


def test_degrade_takes_every_scale(rng):
    gt = rng.integers(0, 256, (48, 24, 3), dtype=np.uint8)
    for scale in (2, 3, 4, 8):
        for seed in range(8):
            lq = degrade(gt, scale, np.random.default_rng(seed))
            assert lq.shape == (48 // scale, 24 // scale, 3)
