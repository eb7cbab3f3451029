"""Scales, optimizers and precisions that the other trainings do not have."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest
import torch

from hsr_hub import HSRNet
from hsr_hub.training.checkpoints import damage
from tests.training import all_losses, train, write_small_vgg

pytestmark = pytest.mark.slow

SHAPES = {
    # scale: (crop size, widths of the levels above x1)
    2: ("32", ["4"]),
    3: ("30", ["4"]),
    8: ("64", ["8", "4", "4"]),
}
RESUME = ["--resume_from_checkpoint", "latest"]


@pytest.fixture(scope="module")
def vgg(tmp_path_factory) -> Path:
    return write_small_vgg(tmp_path_factory.mktemp("vgg") / "vgg.safetensors")


def network(scale: int) -> list[str]:
    side, widths = SHAPES[scale]
    return [
        *("--kernel_sizes", "3", "5", "--widths", "8", "4", "--fusion_width", "8"),
        *("--scale", str(scale), "--crop_size", side, "--reconstruction_widths", *widths),
        *("--train_batch_size", "2", "--lr_warmup_steps", "2"),
    ]


@pytest.mark.parametrize(
    ("scale", "degradation", "optimizer", "precision"),
    [(2, "real", "sgd", "no"), (3, "bicubic", "adamw", "bf16"), (8, "real", "adamw", "bf16")],
)
def test_every_scale_trains_with_all_losses_and_resumes(
    test_set: Path,
    photo_folder,
    tmp_path: Path,
    vgg,
    caplog,
    scale,
    degradation,
    optimizer,
    precision,
):
    """Validated on originals alone, from which bicubic makes the input."""
    originals = tmp_path / "Originals"
    originals.mkdir()
    (originals / "HR").symlink_to(test_set / "HR")
    flags = [*all_losses(vgg), "--degradation", degradation, "--optimizer", optimizer]
    flags += ["--mixed_precision", precision, "--gradient_accumulation_steps", "2"]
    flags += ["--consistency_weight", "1", "--checkerboard_weight", "1", "--flat_weight", "1"]
    flags += ["--validation_data_dir", str(originals), "--validation_steps", "2"]
    flags += ["--checkpointing_steps", "2", *RESUME]
    out = tmp_path / "out"
    for steps in ("2", "3"):
        train(photo_folder, out, *flags, "--max_train_steps", steps, network=network(scale))
    assert HSRNet.from_pretrained(out).scale == scale
    assert HSRNet.from_pretrained(out / "checkpoint-2").levels[-1] == scale
    assert damage(out / "checkpoint-2") == ""
    assert "not finite" not in caplog.text
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert {line["step"] for line in lines if "val/psnr" in line} == {2, 3}


def test_compiled_runs_keep_plain_names_of_weights(photo_folder, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    out = tmp_path / "out"
    flags = ["--checkpointing_steps", "2", *RESUME]
    train(photo_folder, out, *flags, "--max_train_steps", "2", "--compile")
    train(photo_folder, out, *flags, "--max_train_steps", "3")
    assert HSRNet.from_pretrained(out / "checkpoint-2").scale == 4


def test_a_discriminator_continues_in_another_run(photo_folder, tmp_path: Path, vgg, monkeypatch):
    flags = [*all_losses(vgg), "--max_train_steps", "2", "--checkpointing_steps", "2"]
    first = tmp_path / "first"
    train(photo_folder, first, *flags)
    file = first / "checkpoint-2" / "state" / "model_1.safetensors"
    loaded = []
    for number, start in enumerate((first / "checkpoint-2", file)):
        monkeypatch.setattr(
            "hsr_hub.training.networks.load_bare", lambda net, path: loaded.append(path)
        )
        given = ["--pretrained_discriminator", str(start)]
        train(photo_folder, tmp_path / f"{number}", *flags, *given)
        monkeypatch.undo()
        assert str(tmp_path) not in (tmp_path / f"{number}" / "README.md").read_text()
    assert loaded == [file, file]
    given = ["--pretrained_discriminator", str(file), "--discriminator_width", "8"]
    with pytest.raises(SystemExit, match="does not fit --discriminator_width 8"):
        train(photo_folder, tmp_path / "other", *flags, *given)
