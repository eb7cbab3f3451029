"""Whole trainings in one process: what they log, write, resume and refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hsr_hub import HSRNet
from tests import training
from tests.training import read_log, same_weights, train, weights, write_small_vgg

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _log_information(caplog):
    caplog.set_level("INFO")


@pytest.fixture(scope="module")
def all_losses(tmp_path_factory) -> list[str]:
    return training.all_losses(write_small_vgg(tmp_path_factory.mktemp("vgg") / "vgg.safetensors"))


def test_both_stages_and_every_loss(photo_folder, test_set, tmp_path: Path, all_losses):
    """The pixel stage, the adversarial stage from it, and the same in one run."""
    validation = ["--validation_data_dir", str(test_set), "--validation_steps", "10"]
    flags = ["--max_train_steps", "10", "--logging_steps", "1", *validation]
    train(photo_folder, tmp_path / "pixel", *flags)
    start = ["--pretrained_model", str(tmp_path / "pixel")]
    more = ["--consistency_weight", "1", "--checkerboard_weight", "3", "--strengths", "1", "0.5"]
    train(
        photo_folder, tmp_path / "gan", *flags, *start, *all_losses, *more, "--degradation", "real"
    )
    terms = ["pixel", "perceptual", "adversarial", "consistency", "checkerboard"]
    for key in [*(f"loss_g/{term}" for term in terms), "loss_d", "d/real_over_fake"]:
        assert len(read_log(tmp_path / "gan", key)) == 10, key
    assert all(0 <= v <= 1 for v in read_log(tmp_path / "gan", "d/real_over_fake").values())
    # The validation leaves the discriminator out.
    assert read_log(tmp_path / "gan", "val/loss_g/adversarial") == {}
    terms.remove("adversarial")
    parts = [read_log(tmp_path / "gan", f"val/loss_g/{term}")[10] for term in terms]
    assert read_log(tmp_path / "gan", "val/loss_g")[10] == pytest.approx(sum(parts))

    train(photo_folder, tmp_path / "one-run", *flags, *all_losses, "--pixel_steps", "4")
    assert set(read_log(tmp_path / "one-run", "loss_d")) == set(range(5, 11))


def test_a_converged_run_learns_no_more_when_it_is_resumed(
    photo_folder, test_set, tmp_path: Path, caplog
):
    out = tmp_path / "out"
    # The rate is so high that the second validation is worse than the first.
    flags = ["--max_train_steps", "1000", "--learning_rate", "5e-2", "--ema_decay", "0"]
    flags += ["--patience", "1", "--validation_data_dir", str(test_set), "--validation_steps", "2"]
    flags += ["--resume_from_checkpoint", "latest"]
    train(photo_folder, out, *flags)
    assert "L_G has converged: 1 validations without a lower one" in caplog.text
    before, names = HSRNet.from_pretrained(out), sorted(p.name for p in out.iterdir())
    log = (out / "log.jsonl").read_text()
    (out / "model.safetensors").unlink()  # killed before it was written
    train(photo_folder, out, *flags)
    assert sorted(p.name for p in out.iterdir()) == names
    assert (out / "log.jsonl").read_text() == log  # no step
    assert same_weights(before, out)


def test_all_losses_stop_when_converged(photo_folder, test_set, tmp_path, all_losses, caplog):
    flags = ["--max_train_steps", "1000", "--learning_rate", "0", "--patience", "3", *all_losses]
    flags += ["--discriminator_learning_rate", "0"]
    flags += ["--validation_data_dir", str(test_set), "--validation_steps", "2"]
    train(photo_folder, tmp_path / "out", *flags)
    assert "L_G has converged: 3 validations without a lower one" in caplog.text
    assert max(read_log(tmp_path / "out", "val/loss_g")) == 8  # the first is the best; three follow
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_accumulated_batches_are_one_batch(photo_folder: Path, tmp_path: Path, caplog):
    flags = ["--max_train_steps", "6", "--logging_steps", "1"]
    train(photo_folder, tmp_path / "whole", *flags)
    parts = ["--train_batch_size", "1", "--gradient_accumulation_steps", "4"]
    train(photo_folder, tmp_path / "parts", *flags, *parts)
    assert caplog.text.count("global batch 4") == 2
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for key in whole:
        torch.testing.assert_close(whole[key], parts[key], atol=2e-4, rtol=1e-3)
    assert read_log(tmp_path / "parts", "lr") == read_log(tmp_path / "whole", "lr")


def test_resumed_past_its_end_just_saves(photo_folder: Path, tmp_path: Path, caplog):
    out = tmp_path / "out"
    train(photo_folder, out, "--max_train_steps", "4")
    before = HSRNet.from_pretrained(out)
    flags = ["--max_train_steps", "2", "--resume_from_checkpoint", "latest"]
    train(photo_folder, out, *flags)
    assert "nothing left to do" in caplog.text
    assert same_weights(before, out)


def test_an_older_checkpoint_does_not_cost_the_later_ones(photo_folder: Path, tmp_path: Path):
    out = tmp_path / "out"
    train(photo_folder, out, "--max_train_steps", "4", "--checkpointing_steps", "2")
    (out / "checkpoint-6.partial").mkdir()
    older = ["--max_train_steps", "6", "--resume_from_checkpoint", str(out / "checkpoint-2")]
    with pytest.raises(SystemExit, match="checkpoint-4"):
        train(photo_folder, out, *older)
    latest = ["--max_train_steps", "6", "--resume_from_checkpoint", "latest"]
    train(photo_folder, out, *latest)
    assert sorted(p.name for p in out.glob("checkpoint-*")) == ["checkpoint-4", "checkpoint-6"]


def test_diverging_run_gives_up_with_its_checkpoint_intact(photo_folder, tmp_path, caplog):
    out = tmp_path / "out"
    flags = ["--max_train_steps", "4", "--checkpointing_steps", "4"]
    train(photo_folder, out, *flags)
    before = (out / "checkpoint-4" / "state" / "model.safetensors").read_bytes()
    # An infinite loss: the gradient is NaN from the first step on.
    flags = ["--max_train_steps", "100", "--resume_from_checkpoint", "latest"]
    flags += ["--checkpointing_steps", "10", "--checkpoints_total_limit", "9"]
    with pytest.raises(SystemExit, match=r"20 steps in a row.*checkpoint-20 is intact"):
        train(photo_folder, out, *flags, "--pixel_weight", "inf")
    assert "gradient not finite, step skipped (not finite: loss_g/pixel" in caplog.text
    for name in ("checkpoint-4", "checkpoint-10", "checkpoint-20"):  # no step changed anything
        assert (out / name / "state" / "model.safetensors").read_bytes() == before


def test_an_earlier_run_is_not_overwritten(photo_folder: Path, tmp_path: Path):
    out = tmp_path / "out"
    train(photo_folder, out, "--max_train_steps", "2")
    with pytest.raises(SystemExit, match="--resume_from_checkpoint latest"):
        train(photo_folder, out, "--max_train_steps", "2")
