"""Checkpoints that are whole or not there, and a run that stops where it can go on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from accelerate import Accelerator


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
