"""Signals in every phase of a run, kills while a checkpoint is written, and divergence."""

from __future__ import annotations

import os
import shlex
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi

import train_accelerate
from hsr_hub import HSRNet
from hsr_hub.cli.main import main as hsr_hub
from hsr_hub.hub import metadata
from hsr_hub.training import checkpoints
from tests.hub_double import WRITE_TOKEN, Fault, Hub
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


@pytest.fixture
def hub(monkeypatch) -> Iterator[Hub]:
    """A Hub to which this process publishes."""
    handler = signal.getsignal(signal.SIGTERM)
    with Hub().serve() as hub:

        def api(*_) -> HfApi:
            return HfApi(hub.endpoint, token=WRITE_TOKEN)

        for module in ("training.publishing", "hub.publish_model"):
            monkeypatch.setattr(f"hsr_hub.{module}.hub_api", api)
        yield hub
    signal.signal(signal.SIGTERM, handler)


def terminate_at(hub: Hub, route: str) -> list[float]:
    """Send SIGTERM as soon as a request has come to a route, which answers after half a minute.

    Returns:
        A list that gets the time of the signal.
    """
    sent: list[float] = []

    def wait() -> None:
        while not hub.count(route):
            time.sleep(0.01)
        sent.append(time.monotonic())
        terminate()

    hub.faults = [Fault(route, 30.0)]
    threading.Thread(target=wait, daemon=True).start()
    return sent


PUSH = ["--push_to_hub", "--hub_model_id", "org/net"]


@pytest.mark.parametrize("phase", ["save", "xorb", "commit"])
def test_a_signal_while_the_result_is_pushed_says_how_to_push_again(
    photo_folder, tmp_path: Path, hub: Hub, monkeypatch, whole, phase: str
):
    """Shortly before the push, while the weights are sent, and while the commit is made."""
    out, repo, sent = tmp_path / "out", hub.add_repo("org/net"), [time.monotonic()]
    if phase == "save":
        after_call(monkeypatch, phase, 1, terminate)
    else:
        sent = terminate_at(hub, phase)
    with pytest.raises(SystemExit, match="stopped by SIGTERM while publishing to org/net") as stop:
        train(photo_folder, out, *STEPS, *PUSH, "--hub_license", "mit")
    assert phase == "save" or time.monotonic() - sent[0] < 25, "it waited for the Hub"
    assert same_weights(out, whole)
    assert len(repo.commits) == 1, "half a push"
    hub.faults = []
    command = shlex.split(str(stop.value).splitlines()[-1])
    assert command == ["hsr-hub", "push", str(out), "org/net", "--license", "mit"]
    assert hsr_hub(command[1:]) == 0
    assert len(repo.commits) == 2
    assert repo.files()["model.safetensors"] == (out / "model.safetensors").read_bytes()
    assert metadata(repo.files()["README.md"].decode())["license"] == "mit"


def test_a_signal_while_a_checkpoint_is_pushed_ends_the_run_after_its_next_step(
    photo_folder, tmp_path: Path, hub: Hub, caplog, whole
):
    out = tmp_path / "out"
    terminate_at(hub, "commit")
    with pytest.raises(SystemExit, match="continue with --resume_from_checkpoint latest"):
        train(photo_folder, out, *STEPS, *PUSH, "--push_checkpoints")
    assert "checkpoint-2 was not published: stopped by SIGTERM" in caplog.text
    names = [path.name for path in checkpoints.find_checkpoints(out)]
    assert names == ["checkpoint-2", "checkpoint-3"]
    assert len(hub.repo("org/net").commits) == 1
    hub.faults = []
    train(photo_folder, out, *STEPS, *PUSH, *RESUME)
    assert same_weights(out, whole)
    assert len(hub.repo("org/net").commits) == 2


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
