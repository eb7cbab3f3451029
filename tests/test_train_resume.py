"""What a resumed run refuses, reports and keeps, and which weights a run saves."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from hsr_hub import HSRNet
from hsr_hub.training.checkpoints import damage, find_resume_folder, read_launches
from tests.hub_process import run_python
from tests.training import CPU, NETWORK, read_log, same_weights, train
from tests.util import ROOT

pytestmark = pytest.mark.slow

ADVERSARIAL = ["--adversarial_weight", "0.01", "--discriminator_width", "4"]
STEPS = ["--max_train_steps", "4", "--checkpointing_steps", "2", "--checkpoints_total_limit", "9"]
RESUME = ["--resume_from_checkpoint", "latest"]


@pytest.fixture(autouse=True)
def _log_information(caplog):
    caplog.set_level("INFO")


@pytest.fixture(scope="module")
def runs(photo_folder: Path, tmp_path_factory) -> dict[str, Path]:
    """A run of the pixel loss and one with a discriminator, four steps each."""
    folder = tmp_path_factory.mktemp("runs")
    train(photo_folder, folder / "pixel", *STEPS)
    train(photo_folder, folder / "gan", *STEPS, *ADVERSARIAL)
    return {name: folder / name for name in ("pixel", "gan")}


@pytest.fixture
def copy_of(runs: dict[str, Path], tmp_path: Path):
    def copied(name: str) -> Path:
        return Path(shutil.copytree(runs[name], tmp_path / name))

    return copied


@pytest.mark.parametrize(
    ("run", "flags", "named"),
    [
        ("gan", [*ADVERSARIAL, "--widths", "16", "4"], "--widths was 8 4 and is 16 4"),
        ("gan", [*ADVERSARIAL, "--kernel_sizes", "3", "7"], "--kernel_sizes was 3 5"),
        ("gan", [*ADVERSARIAL, "--fusion_width", "16"], "--fusion_width"),
        ("gan", [*ADVERSARIAL, "--dilations", "1", "1", "1"], "--dilations"),
        ("gan", [*ADVERSARIAL, "--scale", "2", "--reconstruction_widths", "8"], "--scale"),
        ("gan", [*ADVERSARIAL, "--optimizer", "sgd"], "--optimizer was adamw and is sgd"),
        ("gan", [*ADVERSARIAL, "--discriminator_width", "8"], "--discriminator_width was 4"),
        ("gan", [], "--adversarial_weight was 0.01 and is 0.0 (the discriminator would be lost)"),
        ("pixel", ADVERSARIAL, "--adversarial_weight was 0.0 and is 0.01"),
    ],
)
def test_structural_changes_are_refused_by_name(runs, photo_folder, run, flags, named):
    with pytest.raises(SystemExit) as refusal:
        train(photo_folder, runs[run], "--max_train_steps", "6", *RESUME, *flags)
    assert named in str(refusal.value)


def test_other_changes_are_reported_and_the_card_names_them(copy_of, photo_folder, caplog):
    changes = {
        "crop_size": "64",
        "train_batch_size": "2",
        "seed": "7",
        "degradation": "real",
        "ema_decay": "0.9",
        "learning_rate": "0.001",
        "lr_warmup_steps": "3",
        "weight_decay": "0.01",
        "max_grad_norm": "1.0",
        "pixel_weight": "2.0",
        "gradient_accumulation_steps": "2",
        "adam_beta1": "0.8",
        "max_train_steps": "6",
        "strengths": "1.0 1.0",
        "perceptual_layers": "conv1_2",
        "pretrained_model": "",
    }
    out = copy_of("gan")
    flags = [word for k, v in changes.items() for word in (f"--{k}", *v.split(" "))]
    start = flags.index("--pretrained_model") + 1
    flags[start] = str(out)
    train(photo_folder, out, *RESUME, *ADVERSARIAL, *flags)
    for key, value in changes.items():
        if key not in {"pretrained_model", "perceptual_layers"}:
            assert f"--{key} was " in caplog.text
            assert f" and is {value}" in caplog.text
    card = (out / "README.md").read_text()
    assert "6 steps by `train_accelerate.py`" in card
    before, _, after = card.partition("**Changed at step 4.**")
    assert "seed: 0" in before and "seed: 7" in after
    assert "kernel_sizes: [3, 5]" in before and "kernel_sizes" not in after
    assert str(out.parent) not in card
    assert [launch["from_step"] for launch in read_launches(out / "checkpoint-6")] == [0, 4]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("model.safetensors", truncate),
        ("state/model.safetensors", truncate),
        ("state/model_1.safetensors", Path.unlink),
        ("state/optimizer.bin", truncate),
        ("state/optimizer_1.bin", Path.unlink),
        ("state/custom_checkpoint_0.pkl", truncate),
        ("state/random_states_0.pkl", truncate),
        ("launches.json", truncate),
        ("", lambda folder: [path.unlink() for path in folder.rglob("*") if path.is_file()]),
    ],
)
def test_a_damaged_checkpoint_falls_back_to_the_one_before(copy_of, caplog, name, harm):
    out = copy_of("gan")
    assert damage(out / "checkpoint-4") == ""
    harm(out / "checkpoint-4" / name)
    wanted = "latest" if name != "state/optimizer.bin" else str(out / "checkpoint-4")
    assert find_resume_folder(wanted, out) == out / "checkpoint-2"
    assert "checkpoint-4 is damaged" in caplog.text
    assert (out / "checkpoint-4.damaged").is_dir()
    truncate(out / "checkpoint-2" / "model.safetensors")
    with pytest.raises(SystemExit, match="every checkpoint"):
        find_resume_folder("latest", out)


def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(copy_of, runs, photo_folder):
    out = copy_of("gan")
    truncate(out / "checkpoint-4" / "model.safetensors")
    train(photo_folder, out, *STEPS, *ADVERSARIAL, *RESUME)
    assert same_weights(out, runs["gan"])


def test_checkpoints_of_earlier_versions_are_resumed(copy_of, photo_folder):
    """They have no launches, no folder of the state, and prefixes by several processes."""
    from safetensors.torch import save_file

    out = copy_of("gan")
    for checkpoint in out.glob("checkpoint-*"):
        (checkpoint / "launches.json").unlink()
        for path in (checkpoint / "state").iterdir():
            path.replace(checkpoint / path.name)
        (checkpoint / "state").rmdir()
        (checkpoint / "config.json").unlink()
    for path in out.glob("checkpoint-4/model*.safetensors"):
        save_file({f"module.{key}": value for key, value in load_file(path).items()}, path)
    with pytest.raises(SystemExit, match="does not fit this run"):
        train(photo_folder, out, *STEPS, *ADVERSARIAL, *RESUME, "--fusion_width", "16")
    train(photo_folder, out, *STEPS, *ADVERSARIAL, *RESUME, "--max_train_steps", "5")
    assert (out / "checkpoint-5" / "launches.json").is_file()


def test_an_overtrained_adversarial_run_saves_its_best_weights(
    photo_folder, test_set, tmp_path: Path, caplog
):
    out = tmp_path / "out"
    flags = ["--max_train_steps", "24", "--validation_data_dir", str(test_set)]
    flags += ["--validation_steps", "4", "--ema_decay", "0", "--cache_images"]
    flags += ["--adversarial_weight", "1", "--discriminator_width", "4", "--pixel_weight", "0.1"]
    # The learning rate rises all the time, so the first validations are the best.
    flags += ["--discriminator_learning_rate", "1e-2", "--learning_rate", "2e-2"]
    flags += ["--lr_warmup_steps", "100"]
    flags += ["--logging_steps", "2", "--checkpointing_steps", "20"]
    train(photo_folder, out, *flags)
    loss, psnr = read_log(out, "val/loss_g"), read_log(out, "val/psnr")
    best = min(loss, key=lambda step: loss[step])
    assert best < 24
    assert psnr[best] > psnr[24] + 0.5
    from hsr_hub.evaluation import evaluate

    saved = HSRNet.from_pretrained(out)
    found = evaluate(saved, test_set, dtype="float32", progress=False).psnr_y
    assert found == pytest.approx(psnr[best], abs=0.01)
    assert f"weights of step {best}, which validated best" in caplog.text
    assert f"those of step {best}, which validated best" in (out / "README.md").read_text()
    # The adversarial loss is reported, but it is no part of the measure.
    assert set(read_log(out, "adversarial/mean")) == set(loss)
    assert len(read_log(out, "adversarial/change")) == len(loss) - 1
    assert set(read_log(out, "adversarial/real_over_fake")) == set(loss)
    assert read_log(out, "val/loss_g/adversarial") == {}
    assert read_log(out, "val/loss_g") == read_log(out, "val/loss_g/pixel")
    assert read_log(out, "grad_norm/g") and read_log(out, "grad_norm/d")
    assert "waits for data" not in caplog.text  # the photos are cached already

    # The best weights are a model of their own in every checkpoint, and survive a resume.
    assert same_weights(out / "checkpoint-24" / "best", saved)
    (out / "model.safetensors").unlink()
    train(photo_folder, out, *flags, *RESUME)
    assert same_weights(out, saved)
    train(photo_folder, out, *flags, *RESUME, "--save_last")
    last = evaluate(HSRNet.from_pretrained(out), test_set, dtype="float32", progress=False).psnr_y
    assert last == pytest.approx(psnr[24], abs=0.01)


def test_other_losses_make_the_best_validation_incomparable(
    photo_folder, test_set, tmp_path: Path, caplog
):
    flags = ["--validation_data_dir", str(test_set), "--validation_steps", "2"]
    train(photo_folder, tmp_path / "out", *flags, "--max_train_steps", "2")
    flags += ["--max_train_steps", "4", "--pixel_weight", "100", "--learning_rate", "0"]
    train(photo_folder, tmp_path / "out", *flags, *RESUME)
    assert "the best validation so far is forgotten" in caplog.text
    assert "weights of step 4, which validated best" in caplog.text


def test_a_run_without_a_step_is_an_error(photo_folder, tmp_path: Path):
    with pytest.raises(SystemExit, match="none of the 3 steps had a finite gradient"):
        train(photo_folder, tmp_path / "out", "--max_train_steps", "3", "--pixel_weight", "inf")
    assert not (tmp_path / "out" / "model.safetensors").exists()


@pytest.fixture
def cut_photos(tmp_path: Path, rng) -> Path:
    """A folder of one photo, which is damaged."""
    folder = tmp_path / "photos"
    folder.mkdir()
    noise = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "cut.png")
    truncate(folder / "cut.png")
    return folder


NOTHING_DECODES = r"--train_data_dir .*: no photo of at least 32x32 .* can be decoded"


def test_folders_without_a_photo_that_decodes_are_an_error(cut_photos: Path, tmp_path: Path):
    with pytest.raises(SystemExit, match=NOTHING_DECODES):
        train(cut_photos, tmp_path / "out", "--max_train_steps", "3")


def test_workers_tell_that_no_photo_decodes(cut_photos: Path, tmp_path: Path):
    """In a process of its own: a worker that an error leaves behind would keep our files open."""
    words = ["train_accelerate.py", "--train_data_dir", str(cut_photos), *NETWORK]
    words += ["--output_dir", str(tmp_path / "out"), "--dataloader_num_workers", "1"]
    done = run_python(words, ROOT, os.environ | CPU, timeout=120)
    assert done.returncode == 1
    assert re.search(NOTHING_DECODES, done.stderr)
