"""Signals in every phase of a run, kills while a checkpoint is written, and divergence."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

import train_accelerate
from hsr_hub import HSRNet
from hsr_hub.training import checkpoints
from tests.training import same_weights, train

STEPS = ["--max_train_steps", "4", "--checkpointing_steps", "2", "--checkpoints_total_limit", "9"]
RESUME = ["--resume_from_checkpoint", "latest"]


@pytest.fixture(scope="module")
def whole(photo_folder: Path, tmp_path_factory) -> HSRNet:
    """The result of an uninterrupted run."""
    out = tmp_path_factory.mktemp("whole") / "out"
    train(photo_folder, out, *STEPS)
    return HSRNet.from_pretrained(out)


def after_call(monkeypatch, name: str, number: int, action: Callable[[], object]) -> None:
    """Run `action` within the numbered call of a function of the script."""
    calls = []
    original = getattr(train_accelerate, name)

    def replacement(*args, **kwargs):
        calls.append(1)
        if len(calls) == number:
            action()
        return original(*args, **kwargs)

    monkeypatch.setattr(train_accelerate, name, replacement)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("phase", "step"),
    [("generator_step", 1), ("validate", 2), ("save_checkpoint", 3)],
)
def test_a_signal_in_the_loop_saves_the_step(
    photo_folder, test_set, tmp_path: Path, monkeypatch, whole, phase: str, step: int
):
    """In the first step, in a validation, and while a checkpoint is written."""
    flags = [*STEPS, "--validation_data_dir", str(test_set), "--validation_steps", "2"]
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        after_call(patch, phase, 1, terminate)
        with pytest.raises(SystemExit, match="continue with --resume_from_checkpoint latest"):
            train(photo_folder, out, *flags)
    assert checkpoints.find_checkpoints(out)[-1].name == f"checkpoint-{step}"
    assert not (out / "model.safetensors").exists()
    train(photo_folder, out, *flags, *RESUME, "--save_last")
    assert same_weights(out, whole)


@pytest.mark.parametrize("phase", ["save", "next_command"])
def test_a_signal_after_the_last_step_changes_nothing(
    photo_folder, tmp_path: Path, monkeypatch, whole, phase: str
):
    after_call(monkeypatch, phase, 1, terminate)
    train(photo_folder, tmp_path / "out", *STEPS)
    assert same_weights(tmp_path / "out", whole)


def test_a_signal_while_photos_are_read_ends_the_program_at_once(
    photo_folder, tmp_path: Path, monkeypatch
):
    before, seen = signal.getsignal(signal.SIGTERM), []
    after_call(monkeypatch, "open_photos", 1, lambda: seen.append(signal.getsignal(signal.SIGTERM)))
    train(photo_folder, tmp_path / "out", "--max_train_steps", "1")
    assert seen == [before], "only the training loop waits for the end of its step"


class Killed(BaseException):
    """Passes every `except Exception`, so that nothing is cleaned up, as after SIGKILL."""


@pytest.mark.parametrize("at", ["the weights", "the launches", "the removal of old ones"])
def test_killed_while_a_checkpoint_is_written(photo_folder, tmp_path, monkeypatch, whole, at: str):
    out = tmp_path / "out"

    def die(*args, **kwargs):
        if (out / written).is_dir():
            raise Killed
        return original(*args, **kwargs)

    target, name = {
        "the weights": (HSRNet, "save_pretrained"),
        "the launches": (checkpoints.json, "dumps"),
        "the removal of old ones": (checkpoints.shutil, "rmtree"),
    }[at]
    original = getattr(target, name)
    written = "checkpoint-4" if at == "the removal of old ones" else "checkpoint-2"
    limit = ["--checkpoints_total_limit", "1"]
    with monkeypatch.context() as patch:
        patch.setattr(target, name, die)
        with pytest.raises(Killed):
            train(photo_folder, out, *STEPS, *limit, "--logging_steps", "99")
    kept = [path.name for path in checkpoints.find_checkpoints(out)]
    assert kept == [written]
    train(photo_folder, out, *STEPS, *limit, *RESUME)
    assert same_weights(out, whole)
    assert [path.name for path in out.glob("checkpoint-*")] == ["checkpoint-4"]


@pytest.mark.parametrize("rate", ["1e30", "3e38"])
def test_weights_that_diverged_are_never_saved(photo_folder, tmp_path: Path, rate: str):
    """The gradient was finite, and the step destroyed the weights: large or infinite values."""
    out = tmp_path / "out"
    flags = ["--checkpointing_steps", "1", "--lr_scheduler", "constant", "--optimizer", "sgd"]
    train(photo_folder, out, *flags, "--max_train_steps", "1", "--learning_rate", "1e-3")
    flags += ["--learning_rate", rate, "--max_grad_norm", "1e9", *RESUME]
    with pytest.raises(SystemExit, match="diverged and are not saved"):
        train(photo_folder, out, *flags, "--max_train_steps", "2")
    assert [path.name for path in checkpoints.find_checkpoints(out)] == ["checkpoint-1"]
