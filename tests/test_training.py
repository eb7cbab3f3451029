"""Data that depends on seed and index alone, labels as the protocol has them, real launches."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hsr_hub import HSRNet
from hsr_hub.training.data import (
    LQ_MARGIN,
    PhotoCrops,
    crop_margin,
    label_pyramid,
    quantise,
    resize_antialiased,
)
from hsr_hub.training.ema import averaged_copy
from hsr_hub.training.losses import pixel_loss
from tests.util import ROOT, run


def crops(folder: Path, **options) -> PhotoCrops:
    defaults = {"crop_size": 48, "scale": 4, "num_samples": 64, "progress": False}
    return PhotoCrops([folder], **{**defaults, **options})


def test_samples_depend_on_seed_and_index_alone(photo_folder: Path):
    plain = crops(photo_folder)
    cached = crops(photo_folder, cache_images=True)
    later = crops(photo_folder, first_index=10)
    assert len(later) == 54
    for index in (3, 0, 20, 11):
        assert torch.equal(plain[index], cached[index])
    assert torch.equal(later[0], plain[10])
    assert not torch.equal(crops(photo_folder, seed=1)[0], plain[0])
    assert plain[0].shape == (3, 48 + 8 * LQ_MARGIN, 48 + 8 * LQ_MARGIN)
    assert plain[0].dtype == torch.uint8


def test_every_photo_is_seen_once_per_epoch(tmp_path: Path):
    for value in range(5):
        Image.new("RGB", (48, 48), (value * 40, 0, 0)).save(tmp_path / f"{value}.png")
    data = crops(tmp_path)
    for epoch in range(3):
        reds = sorted(int(data[5 * epoch + i][0, 0, 0]) for i in range(5))
        assert reds == [0, 40, 80, 120, 160]


def test_unusable_files_are_named_and_skipped(photo_folder: Path, tmp_path: Path, caplog):
    folder = tmp_path / "mixed"
    shutil.copytree(photo_folder, folder)
    (folder / "broken.jpg").write_bytes(b"no picture")
    Image.new("RGB", (40, 400)).save(folder / "narrow.png")
    data = crops(folder)
    assert len(data.paths) == 3
    assert "broken.jpg" in caplog.text
    assert "narrow.png" in caplog.text
    with pytest.raises(ValueError, match="no usable photo"):
        crops(folder, crop_size=400)
    with pytest.raises(FileNotFoundError, match="missing"):
        crops(tmp_path / "missing")


def test_labels_are_the_whole_photos_labels(photo_folder: Path, monkeypatch):
    """Cut out of the photo's own pyramid: the crop's edge leaves no trace."""
    data = crops(photo_folder)
    with Image.open(data.paths[0]) as image:
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


def test_pixel_loss_sums_the_levels_means():
    sr = [torch.full((1, 3, 2, 2), 0.5), torch.full((1, 3, 4, 4), 0.2)]
    gt = [torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 4, 4)]
    assert pixel_loss(sr, gt).item() == pytest.approx(0.7)


def test_average_follows_the_weights(model: HSRNet):
    net = HSRNet(**model.config)
    ema = averaged_copy(net, decay=0.9)
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


NETWORK = [
    *("--kernel_sizes", "3", "5", "--widths", "8", "4", "--fusion_width", "8"),
    *("--reconstruction_widths", "8", "4", "--crop_size", "32", "--train_batch_size", "4"),
    *("--learning_rate", "2e-3", "--lr_warmup_steps", "2", "--logging_steps", "5"),
]


def launch(photos: Path, out: Path, *flags: str, processes: int = 1):
    """`accelerate launch train_accelerate.py`, finished."""
    # --cpu starts one process whatever --num_processes says (accelerate 1.15).
    several = ["--multi_gpu"] if processes > 1 else ["--cpu"]
    done = run(
        *(sys.executable, "-m", "accelerate.commands.launch", *several),
        *("--num_processes", str(processes), "--num_machines", "1", "--mixed_precision", "no"),
        *("--dynamo_backend", "no", "train_accelerate.py", "--train_data_dir", photos),
        *("--output_dir", out, *NETWORK, *flags),
        ACCELERATE_USE_CPU="true",
        OMP_NUM_THREADS="1",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def log(out: Path, key: str) -> dict[int, float]:
    lines = (json.loads(line) for line in (out / "log.jsonl").read_text().splitlines())
    return {line["step"]: line[key] for line in lines if key in line}


@pytest.mark.slow
def test_launch_learns_validates_and_leaves_a_model(photo_folder, test_set, tmp_path: Path):
    out = tmp_path / "out"
    done = launch(
        *(photo_folder, out, "--max_train_steps", "300", "--validation_steps", "150"),
        *("--validation_data_dir", str(test_set), "--cache_images", "--ema_decay", "0.9"),
        *("--checkpointing_steps", "100", "--checkpoints_total_limit", "2"),
    )
    losses = log(out, "loss_g/pixel")
    assert losses[300] < losses[5]
    psnr = log(out, "val/psnr")
    assert set(psnr) == {150, 300}
    assert psnr[300] > psnr[150]
    assert sorted(p.name for p in out.glob("checkpoint-*")) == ["checkpoint-200", "checkpoint-300"]
    assert "global batch 4" in done.stdout
    # What is left is what was validated: the averaged weights, as a folder that loads.
    from hsr_hub.evaluation import evaluate

    figures = evaluate(HSRNet.from_pretrained(out), test_set, progress=False)
    assert figures.psnr_y == pytest.approx(psnr[300], abs=0.01)
    assert figures.psnr_y > figures.bicubic_psnr_y


@pytest.mark.slow
def test_stopped_and_resumed_ends_with_the_same_weights(photo_folder: Path, tmp_path: Path):
    flags = ["--max_train_steps", "12", "--checkpointing_steps", "6"]
    launch(photo_folder, tmp_path / "whole", *flags)
    launch(photo_folder, tmp_path / "parts", *flags, "--resume_from_checkpoint", "latest")
    # As a kill after step 6 would leave it: the later checkpoint is not there, or only begun.
    late = tmp_path / "parts" / "checkpoint-12"
    late.rename(late.with_name("checkpoint-12.partial"))
    done = launch(photo_folder, tmp_path / "parts", *flags, "--resume_from_checkpoint", "latest")
    assert "from step 6" in done.stdout
    whole, parts = (HSRNet.from_pretrained(tmp_path / n).state_dict() for n in ("whole", "parts"))
    assert all(torch.equal(whole[k], parts[k]) for k in whole)


@pytest.mark.slow
def test_two_processes_do_what_one_does(photo_folder: Path, tmp_path: Path):
    """Half the batch on each of two processes: the same samples, so the same losses and weights."""
    flags = ["--max_train_steps", "6", "--checkpointing_steps", "6", "--logging_steps", "1"]
    launch(photo_folder, tmp_path / "one", *flags)
    done = launch(photo_folder, tmp_path / "two", *flags, "--train_batch_size", "2", processes=2)
    assert "global batch 4" in done.stdout
    one, two = (HSRNet.from_pretrained(tmp_path / n).state_dict() for n in ("one", "two"))
    for key in one:
        torch.testing.assert_close(one[key], two[key], atol=2e-4, rtol=1e-3)
    rates = log(tmp_path / "two", "lr")
    assert rates == log(tmp_path / "one", "lr")


def test_every_flag_is_read():
    source = (ROOT / "train_accelerate.py").read_text()
    flags = re.findall(r'"--(\w+)"', source)
    assert len(flags) > 20
    assert [flag for flag in flags if f"args.{flag}" not in source] == []


@pytest.mark.slow
def test_wrong_use_is_named_before_anything_is_read(tmp_path: Path):
    for flags, named in ((["--crop_size", "30"], "crop_size"), (["--scale", "5"], "scale")):
        done = run(
            *(sys.executable, "train_accelerate.py", "--train_data_dir", tmp_path / "none"),
            *("--output_dir", tmp_path / "out", *flags),
            ACCELERATE_USE_CPU="true",
        )
        assert done.returncode != 0
        assert named in done.stderr
