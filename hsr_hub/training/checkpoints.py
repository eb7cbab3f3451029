"""Checkpoints that are whole or not there, and a run that stops where it can go on."""

from __future__ import annotations

import shutil
import signal
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

    def note_validation(self, loss: float) -> None:
        """Count validations without a lower L_G."""
        if loss < self.best_loss:
            self.best_loss, self.validations_since_best = loss, 0
        else:
            self.validations_since_best += 1


class StopRequest:
    """SIGTERM and Ctrl-C as a wish that the loop grants after its step; a second one kills."""

    def __init__(self) -> None:
        self.signal_name = ""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal_name = signal.Signals(number).name
        signal.signal(number, signal.SIG_DFL)


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
        if whole.exists():
            shutil.rmtree(whole)
        partial.rename(whole)
        for old in find_checkpoints(output_dir)[:-total_limit]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def find_resume_folder(wanted: str | None, output_dir: Path) -> Path | None:
    """The checkpoint that `--resume_from_checkpoint` means, if there is one to resume from.

    Raises:
        SystemExit: The named folder is not there; or the output folder holds an earlier run's work
            and nothing was said of resuming it.
    """
    found = find_checkpoints(output_dir)
    if wanted == "latest":
        return found[-1] if found else None
    if wanted:
        folder = Path(wanted)
        if not folder.is_dir():
            raise SystemExit(f"--resume_from_checkpoint: there is no folder {folder}")
        return folder
    if found or (output_dir / "model.safetensors").exists():
        raise SystemExit(
            f"--output_dir {output_dir} holds an earlier run: go on with it by "
            "--resume_from_checkpoint latest, or choose another folder."
        )
    return None
