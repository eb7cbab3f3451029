"""Checkpoints that are whole or not there, and a run that stops where it can go on."""

from __future__ import annotations

import atexit
import math
import multiprocessing
import os
import shutil
import signal
import time
from argparse import Namespace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accelerate import Accelerator


class RunState:
    """What a run knows beside weights, optimizers and random states; part of every checkpoint."""

    def __init__(self) -> None:
        self.global_step = 0
        self.best_loss = float("inf")
        """Lowest validation L_G so far."""
        self.validations_since_best = 0
        self.skipped_steps = 0
        """Steps whose gradient was not finite, in all."""

    def state_dict(self) -> dict[str, Any]:
        """All of it, as plain numbers."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        vars(self).update(state)

    def expect_other_losses(self) -> None:
        """The adversarial stage begins: its L_G is no continuation of the pixel stage's."""
        self.best_loss, self.validations_since_best = float("inf"), 0

    def note_validation(self, loss: float) -> None:
        """Count validations without a lower L_G; one that is not a number says nothing."""
        if loss < self.best_loss:
            self.best_loss, self.validations_since_best = loss, 0
        elif math.isfinite(loss):
            self.validations_since_best += 1

    def converged(self, args: Namespace) -> bool:
        """Whether there were `--patience` validations without a lower L_G."""
        return (
            args.patience is not None
            and self.global_step >= args.pixel_steps
            and self.validations_since_best >= args.patience
        )


class StopRequest:
    """SIGTERM and Ctrl-C as a wish that the loop grants after its step.

    A launcher and a scheduler may both pass a signal on, so repeats change nothing, but for a
    second Ctrl-C some seconds later, which kills.
    """

    def __init__(self) -> None:
        self._signal = ""
        self._first = 0.0
        # `accelerate launch` of one process passes no signal on: when it is gone, that is the sign.
        # A script started by hand may outlive its shell.
        self._launcher = os.getppid() if "ACCELERATE_MIXED_PRECISION" in os.environ else None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)
        # Registered after multiprocessing's own, so called before it, which would ask the workers
        # by SIGTERM and wait.
        atexit.register(_kill_workers)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._signal and number == signal.SIGINT and time.monotonic() - self._first > 3:
            raise KeyboardInterrupt
        if not self._signal:
            self._signal, self._first = signal.Signals(number).name, time.monotonic()

    def reason(self) -> str:
        """What asked this process to stop, or nothing."""
        if self._signal:
            return self._signal
        if self._launcher is not None and os.getppid() != self._launcher:
            return "the end of accelerate launch"
        return ""


def ignore_signals(worker: int) -> None:
    """For data loader workers, which get the group's signals too: the main process ends them."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _kill_workers() -> None:
    """Whatever ends the run, workers that ignore signals must not keep it waiting."""
    for worker in multiprocessing.active_children():
        worker.kill()


def find_checkpoints(output_dir: Path) -> list[Path]:
    """Whole checkpoints, oldest first."""
    found = [p for p in output_dir.glob("checkpoint-*") if p.name.partition("-")[2].isdigit()]
    return sorted(found, key=_step)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.partition("-")[2])


def save_checkpoint(
    accelerator: Accelerator, output_dir: Path, global_step: int, total_limit: int
) -> None:
    """Write `checkpoint-{global_step}` aside, rename it, and remove the oldest beyond the limit.

    To be called on all processes: each has random states of its own.

    Raises:
        SystemExit: It could not be written; earlier checkpoints are untouched.
    """
    partial = output_dir / f"checkpoint-{global_step}.partial"
    if accelerator.is_main_process and partial.exists():
        shutil.rmtree(partial)
    accelerator.wait_for_everyone()
    try:
        accelerator.save_state(str(partial))
    except Exception as error:  # torch, safetensors and the system each have their own
        shutil.rmtree(partial, ignore_errors=True)
        kept = find_checkpoints(output_dir)
        raise SystemExit(
            f"checkpoint-{global_step} could not be written to {output_dir}: {error}\n"
            + (f"{kept[-1].name} is intact; " if kept else "")
            + "free some space and start again with --resume_from_checkpoint latest."
        ) from error
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        whole = output_dir / f"checkpoint-{global_step}"
        _remove(whole)
        partial.rename(whole)
        for old in find_checkpoints(output_dir)[:-total_limit]:
            _remove(old)
    accelerator.wait_for_everyone()


def _remove(checkpoint: Path) -> None:
    """Remove it under another name first: half of one must not pass for a whole one."""
    if checkpoint.exists():
        shutil.rmtree(checkpoint.rename(checkpoint.with_name(f"{checkpoint.name}.old")))


def remove_leftovers(output_dir: Path) -> None:
    """Remove what a killed run had begun to write or to remove."""
    for suffix in ("partial", "old"):
        for leftover in output_dir.glob(f"checkpoint-*.{suffix}"):
            shutil.rmtree(leftover)


def find_resume_folder(wanted: str | None, output_dir: Path) -> Path | None:
    """The checkpoint that `--resume_from_checkpoint` means, if there is one to resume from.

    Raises:
        SystemExit: The named folder is not there, or later ones would be lost; or the output folder
            holds an earlier run's work and nothing was said of resuming it.
    """
    found = find_checkpoints(output_dir)
    if wanted == "latest":
        return found[-1] if found else None
    if wanted:
        folder = Path(wanted)
        if not folder.is_dir():
            raise SystemExit(f"--resume_from_checkpoint: there is no folder {folder}")
        later = [p.name for p in found if folder.resolve() in map(Path.resolve, found)]
        later = [name for name in later if _step(Path(name)) > _step(folder)]
        if later:
            raise SystemExit(
                f"--resume_from_checkpoint {folder}: {output_dir} holds later ones ({later}); "
                "resume 'latest', move them away, or copy this one to another folder."
            )
        return folder
    if found or (output_dir / "model.safetensors").exists():
        raise SystemExit(
            f"--output_dir {output_dir} holds an earlier run: go on with it by "
            "--resume_from_checkpoint latest, or choose another folder."
        )
    return None
