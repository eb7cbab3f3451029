"""`accelerate launch train_accelerate.py`, as its own processes, on small data and networks."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from hsr_hub import HSRNet
from tests import training
from tests.hub_process import PythonProcess, run_python
from tests.training import CPU, NETWORK, read_log, same_weights, weights, write_small_vgg
from tests.util import ROOT, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def all_losses(tmp_path_factory) -> list[str]:
    return training.all_losses(write_small_vgg(tmp_path_factory.mktemp("vgg") / "vgg.safetensors"))


def script(photos: Path, out: Path, *flags: str) -> list[str]:
    """`train_accelerate.py ...` without a launcher, which needs seconds of its own."""
    data = ["--train_data_dir", str(photos), "--output_dir", str(out)]
    return ["train_accelerate.py", *data, *NETWORK, *flags]


def command(photos: Path, out: Path, *flags: str, processes: int = 1) -> list[str]:
    """`-m accelerate.commands.launch train_accelerate.py ...` on CPUs."""
    # --cpu starts one process whatever --num_processes says (accelerate 1.15).
    several = ["--multi_gpu"] if processes > 1 else ["--cpu"]
    return [
        "-m",
        "accelerate.commands.launch",
        *several,
        "--num_processes",
        str(processes),
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
        "--main_process_port",
        "0",
        *script(photos, out, *flags),
    ]


ENVIRONMENT = {**CPU, "OMP_NUM_THREADS": "1"}


def run_training(words: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    """Run one of the commands above to its end, with more environment variables."""
    return run_python(words, ROOT, {**os.environ, **ENVIRONMENT, **more}, timeout=600)


def launch(photos: Path, out: Path, *flags: str, processes: int = 1, launcher: bool = True):
    """One of the commands above, finished well."""
    words = script(photos, out, *flags)
    if launcher:
        words = command(photos, out, *flags, processes=processes)
    done = run_training(words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"processes {processes} on cpu" in done.stdout
    return done


def test_learns_validates_and_leaves_a_model(photo_folder, test_set, tmp_path: Path):
    out = tmp_path / "out"
    done = launch(
        photo_folder,
        out,
        "--max_train_steps",
        "300",
        "--validation_steps",
        "150",
        "--validation_data_dir",
        str(test_set),
        "--cache_images",
        "--ema_decay",
        "0.9",
        "--checkpointing_steps",
        "100",
        "--checkpoints_total_limit",
        "2",
        "--report_to",
        "tensorboard",
    )
    losses = read_log(out, "loss_g/pixel")
    assert losses[300] < losses[5]
    psnr = read_log(out, "val/psnr")
    assert set(psnr) == {150, 300}
    assert psnr[300] > psnr[150]
    assert sorted(p.name for p in out.glob("checkpoint-*")) == ["checkpoint-200", "checkpoint-300"]
    assert "global batch 4" in done.stdout
    assert "reached --max_train_steps 300" in done.stdout
    assert (out / "sample.png").is_file()
    assert list(out.rglob("events.out.tfevents*"))
    # What is left is what was validated: the averaged weights, as a folder that loads.
    from hsr_hub.evaluation import evaluate

    metrics = evaluate(HSRNet.from_pretrained(out), test_set, dtype="float32", progress=False)
    assert metrics.psnr_y == pytest.approx(psnr[300], abs=0.01)
    assert metrics.psnr_y > metrics.bicubic_psnr_y
    assert f"{metrics.psnr_y:.2f}" in (out / "README.md").read_text()


def test_two_processes_stop_when_converged(photo_folder, test_set, tmp_path: Path, all_losses):
    done = launch(
        photo_folder,
        tmp_path / "out",
        "--learning_rate",
        "0",
        "--max_train_steps",
        "1000",
        "--validation_data_dir",
        str(test_set),
        "--validation_steps",
        "2",
        "--patience",
        "3",
        *all_losses,
        "--discriminator_learning_rate",
        "0",
        processes=2,
    )
    assert "L_G has converged: 3 validations without a lower one" in done.stdout
    assert max(read_log(tmp_path / "out", "val/loss_g")) == 8  # the first is the best; three follow
    assert (tmp_path / "out" / "model.safetensors").is_file()


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_two_processes_do_what_one_does(photo_folder, test_set, tmp_path, all_losses, optimizer):
    """Half the batch on each of two processes: the same samples, so the same losses and weights."""
    flags = ["--max_train_steps", "6", "--checkpointing_steps", "6", "--logging_steps", "1"]
    flags += [*all_losses, "--optimizer", optimizer, "--validation_data_dir", str(test_set)]
    if optimizer == "sgd":  # its steps are as small as the gradient: without this nothing moves
        flags += ["--learning_rate", "1", "--discriminator_learning_rate", "0.1"]
    training.train(photo_folder, tmp_path / "one", *flags)
    halves = ["--train_batch_size", "2"]
    done = launch(photo_folder, tmp_path / "two", *flags, *halves, processes=2)
    assert "global batch 4" in done.stdout
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    torch.manual_seed(0)  # what the script starts from with its default seed
    start = HSRNet(**HSRNet.from_pretrained(tmp_path / "one").config).state_dict()
    moved = torch.cat([(one[key] - start[key]).flatten() for key in one]).norm()
    apart = torch.cat([(one[key] - two[key]).flatten() for key in one]).norm()
    assert moved > 0.01
    assert apart < 0.02 * moved
    shared = ("val/psnr", "val/ssim", "val/flat_noise", "val/loss_g")
    keys = (
        "loss_g/pixel",
        "loss_g/perceptual",
        "loss_g/adversarial",
        "loss_d",
        "lr",
        "grad_norm/g",
    )
    for key in (*keys, *shared):
        ours, theirs = read_log(tmp_path / "one", key), read_log(tmp_path / "two", key)
        assert theirs == pytest.approx(ours, rel=2e-3), key


@pytest.mark.parametrize("processes", [1, 2])
def test_killed_and_resumed_ends_with_the_same_weights(
    photo_folder, tmp_path, all_losses, processes
):
    """SIGKILL to the whole tree while a checkpoint is written; then to the bit what it would be."""
    flags = ["--max_train_steps", "28", "--checkpointing_steps", "4", *all_losses]
    flags += ["--resume_from_checkpoint", "latest", "--cache_images"]
    rarely = ["--checkpointing_steps", "28"]  # which changes no weights
    how: dict[str, Any] = {"processes": processes, "launcher": processes > 1}
    launch(photo_folder, tmp_path / "whole", *flags, *rarely, **how)

    out = tmp_path / "killed"
    words = command(photo_folder, out, *flags, processes=processes)
    process = PythonProcess(words, ROOT, {**os.environ, **ENVIRONMENT}, Path(os.devnull))
    wait_for(lambda: (out / "checkpoint-8").is_dir(), process)
    suspend_while_a_checkpoint_is_written(process, out)
    kill_tree(process)
    assert list(out.glob("checkpoint-*.partial"))
    assert not (out / "model.safetensors").exists()

    done = launch(photo_folder, out, *flags, **how)
    steps = [int(line.split()[-1]) for line in done.stdout.splitlines() if "from step" in line]
    assert steps[0] >= 8
    assert steps[0] % 4 == 0
    assert not list(out.glob("checkpoint-*.partial"))
    assert same_weights(tmp_path / "whole", out)


def suspend_while_a_checkpoint_is_written(process: PythonProcess, out: Path) -> None:
    tree = psutil.Process(process.pid).children(recursive=True)
    trainers = [one for one in tree if "train_accelerate.py" in one.cmdline()]

    def suspended() -> bool:
        if not list(out.glob("checkpoint-*.partial")):
            return False
        for one in trainers:
            one.suspend()
        while any(one.status() != psutil.STATUS_STOPPED for one in trainers):
            time.sleep(0.001)
        if list(out.glob("checkpoint-*.partial")):
            return True
        for one in trainers:  # it was complete already: wait for the next one
            one.resume()
        return False

    wait_for(suspended, process, pause=0.002)


def kill_tree(process: PythonProcess) -> None:
    """SIGKILL to the launcher and all below it; ranks have process groups of their own."""
    tree = psutil.Process(process.pid)
    everyone = [tree, *tree.children(recursive=True)]
    for one in everyone:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(everyone, timeout=20)
    process.wait()


def wait_for(condition, process: PythonProcess, seconds: float = 120, pause: float = 0.02) -> None:
    for _ in range(int(seconds / pause)):
        if condition():
            return
        assert process.poll() is None, "the training ended before it could be stopped"
        time.sleep(pause)
    raise AssertionError("waited in vain")


@pytest.mark.parametrize(
    ("number", "processes", "workers"),
    [(signal.SIGTERM, 1, 0), (signal.SIGINT, 1, 0), (signal.SIGTERM, 1, 1), (signal.SIGTERM, 2, 0)],
)
def test_a_signal_saves_first(photo_folder, tmp_path: Path, caplog, number, processes, workers):
    """To the launcher alone, or with SIGINT to the whole group, as a terminal sends it."""
    out = tmp_path / "out"
    flags = ["--max_train_steps", "100000", "--checkpointing_steps", "100000"]
    flags += ["--dataloader_num_workers", str(workers)]
    words, log = command(photo_folder, out, *flags, processes=processes), tmp_path / "log"
    env = {**os.environ, **ENVIRONMENT}
    process = PythonProcess(words, ROOT, env, log, new_session=True)
    wait_for((out / "log.jsonl").exists, process)
    trainers = psutil.Process(process.pid).children(recursive=True)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    process.wait(90)
    psutil.wait_procs(trainers, timeout=60)
    assert process.returncode != 0
    assert "stopped by" in log.read_text()
    (checkpoint,) = out.glob("checkpoint-*")
    step = int(checkpoint.name.partition("-")[2])  # a whole one: the name ends in its step
    flags = ["--max_train_steps", str(step + 3), "--resume_from_checkpoint", "latest"]
    if processes == 1:
        caplog.set_level("INFO")
        training.train(photo_folder, out, *flags)
        printed = caplog.text
    else:
        printed = launch(photo_folder, out, *flags, processes=processes).stdout
    assert f"from step {step}" in printed


def test_full_disk_is_a_clear_error(photo_folder: Path, tmp_path: Path):
    """No file may grow beyond a few KiB: a checkpoint cannot be written, the earlier one stays."""
    out = tmp_path / "out"
    training.train(photo_folder, out, "--max_train_steps", "4", "--checkpointing_steps", "4")
    before = {p: p.read_bytes() for p in (out / "checkpoint-4").rglob("*") if p.is_file()}
    # No launcher, whose output says nothing more. Workers hand batches over in files of shared
    # memory, which the limit would cut too.
    flags = ["--max_train_steps", "8", "--resume_from_checkpoint", "latest"]
    flags += ["--dataloader_num_workers", "0"]
    words = script(photo_folder, out, *flags)
    done = run("prlimit", "--fsize=4096", sys.executable, *words, env=ENVIRONMENT)
    assert done.returncode != 0
    assert "could not be written" in done.stderr
    assert "checkpoint-4 is intact" in done.stderr
    assert {p: p.read_bytes() for p in before} == before
    assert [p.name for p in out.glob("checkpoint-*")] == ["checkpoint-4"]


def test_a_hub_out_of_reach_is_said_before_the_first_step(photo_folder, tmp_path: Path):
    out = tmp_path / "out"
    flags = ["--max_train_steps", "2", "--push_to_hub", "--hub_model_id", "org/net"]
    user = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_TOKEN": "hf_secret"}
    done = run_training(script(photo_folder, out, *flags), **user)
    assert done.returncode != 0
    assert "--push_to_hub" in done.stderr
    assert "hf_secret" not in done.stdout + done.stderr
    assert "Running training" not in done.stdout


@pytest.mark.parametrize("width", ["16", "24"])  # 24: NaN in channels_last
def test_bfloat16_and_workers(tmp_path: Path, width: str):
    extra = ["--widths", width, "4", "--crop_size", "128", "--train_batch_size", "2"]
    flags = [*extra, "--max_train_steps", "3", "--mixed_precision", "bf16"]
    flags += ["--dataloader_num_workers", "2"]
    done = run_training(script(ROOT / "examples", tmp_path / "out", *flags))
    assert done.returncode == 0, done.stderr
    assert "not finite" not in done.stdout


def test_the_number_of_processes_may_change_on_resume(photo_folder, tmp_path: Path, caplog):
    out = tmp_path / "out"
    flags = ["--resume_from_checkpoint", "latest", "--adversarial_weight", "0.01"]
    flags += ["--discriminator_width", "4", "--checkpointing_steps", "2"]
    training.train(photo_folder, out, *flags, "--max_train_steps", "2")
    launch(photo_folder, out, *flags, "--max_train_steps", "4", processes=2)
    training.train(photo_folder, out, *flags, "--max_train_steps", "6")
    assert "resumed: processes was 2 and is 1; the crops are not those" in caplog.text
    assert "processes: 2" in (out / "README.md").read_text()
