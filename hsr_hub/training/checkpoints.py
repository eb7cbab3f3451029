"""Checkpoints that are complete or absent, and the choice of the one to resume from."""

from __future__ import annotations

import json
import logging
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

if TYPE_CHECKING:
    from accelerate import Accelerator

    from hsr_hub.model import HSRNet

logger = logging.getLogger(__name__)

LAUNCHES = "launches.json"
"""The arguments of every launch of the run so far, as `hsr_hub.training.resume` records them."""

STATE = "state"
"""Folder of Accelerate's state. In checkpoints of earlier versions it is the checkpoint itself."""

BEST = "best"
"""Folder of the best averaged weights so far, which `HSRNet.from_pretrained` loads."""

NEEDED = (
    "model.safetensors",
    "optimizer.bin",
    "custom_checkpoint_0.pkl",
    "custom_checkpoint_1.pkl",
)
NEEDED_FOR_D = ("model_1.safetensors", "optimizer_1.bin")
PREFIXES = ("_orig_mod.", "module.")
"""What torch.compile and several processes put before a weight's name."""


def find_checkpoints(output_dir: Path) -> list[Path]:
    """Return the checkpoints in a folder, oldest first."""
    found = [p for p in output_dir.glob("checkpoint-*") if p.name.partition("-")[2].isdigit()]
    return sorted(found, key=_step)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.partition("-")[2])


def register_hooks(accelerator: Accelerator) -> None:
    """Make checkpoints hold the bare networks, so that the number of processes may change."""

    def bare(model: nn.Module) -> nn.Module:
        return accelerator.unwrap_model(model, keep_torch_compile=False)

    def before_saving(models: list[nn.Module], weights: list[Any], folder: str) -> None:
        weights[:] = [bare(model).state_dict() for model in models]

    def before_loading(models: list[nn.Module], folder: str) -> None:
        for index, model in enumerate(models):
            name = f"model_{index}.safetensors" if index else "model.safetensors"
            load_bare(bare(model), Path(folder) / name)
        models.clear()  # nothing is left for Accelerate to load

    accelerator.register_save_state_pre_hook(before_saving)
    accelerator.register_load_state_pre_hook(before_loading)


def load_bare(model: nn.Module, path: Path) -> None:
    """Load a safetensors file into a network that was not prepared by Accelerate."""
    model.load_state_dict(_without_prefixes(load_file(path)))


def _without_prefixes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    plain = {}
    for key, value in state.items():
        for prefix in PREFIXES:
            key = key.removeprefix(prefix)
        plain[key] = value
    return plain


def save_checkpoint(
    accelerator: Accelerator,
    output_dir: Path,
    global_step: int,
    total_limit: int,
    *,
    averaged: HSRNet,
    launches: Sequence[Mapping[str, Any]] = (),
    best: HSRNet | None = None,
) -> Path:
    """Write `checkpoint-{global_step}`, remove the oldest ones beyond the limit, and return it.

    `HSRNet.from_pretrained` loads the checkpoint's averaged weights. The checkpoint is written
    under another name and then renamed. All processes must call this, because each has its own
    random states.

    Args:
        accelerator: Holds networks, optimizers and random states.
        output_dir: Folder of the checkpoints.
        global_step: Steps done.
        total_limit: Checkpoints to keep.
        averaged: The averaged weights.
        launches: The arguments of every launch so far.
        best: The best averaged weights so far, on the main process.

    Raises:
        SystemExit: It could not be written. Earlier checkpoints are intact.
    """
    partial = output_dir / f"checkpoint-{global_step}.partial"
    if accelerator.is_main_process and partial.exists():
        shutil.rmtree(partial)
    accelerator.wait_for_everyone()
    try:
        accelerator.save_state(str(partial / STATE))
        if accelerator.is_main_process:
            name = f"checkpoint-{global_step}"
            averaged.save_pretrained(partial, model_card_kwargs={"name": name})
            (partial / LAUNCHES).write_text(json.dumps(launches, indent=1), encoding="utf-8")
            if best is not None:
                best.save_pretrained(partial / BEST)
    except Exception as error:  # torch, safetensors and the system raise different ones
        shutil.rmtree(partial, ignore_errors=True)
        kept = find_checkpoints(output_dir)
        raise SystemExit(
            f"checkpoint-{global_step} could not be written to {output_dir}: {error}\n"
            + (f"{kept[-1].name} is intact; " if kept else "")
            + "free some space and start again with --resume_from_checkpoint latest."
        ) from error
    accelerator.wait_for_everyone()
    complete = output_dir / f"checkpoint-{global_step}"
    if accelerator.is_main_process:
        _remove(complete)
        partial.rename(complete)
        for old in find_checkpoints(output_dir)[:-total_limit]:
            _remove(old)
    accelerator.wait_for_everyone()
    return complete


def state_folder(checkpoint: Path) -> Path:
    """Return the folder of Accelerate's state in a checkpoint."""
    inner = checkpoint / STATE
    return inner if inner.is_dir() else checkpoint


def load_checkpoint(accelerator: Accelerator, folder: Path) -> None:
    """Restore networks, optimizers, random states and registered objects.

    Raises:
        SystemExit: The checkpoint does not fit this run.
    """
    scaler = accelerator.scaler
    state = state_folder(folder)
    if not (state / "scaler.pt").exists():  # it was written without fp16
        accelerator.scaler = None
    try:
        accelerator.load_state(str(state))
    except Exception as error:  # torch and Accelerate raise different ones
        raise SystemExit(
            f"--resume_from_checkpoint: {folder} does not fit this run: {error}"
        ) from error
    accelerator.scaler = scaler
    accelerator.step = 0  # a checkpoint is never written within an accumulation


def read_launches(checkpoint: Path) -> list[dict[str, Any]]:
    """Return the launches in a checkpoint; empty if an earlier version wrote it."""
    path = checkpoint / LAUNCHES
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []


def damage(checkpoint: Path) -> str:
    """Return what is missing or unreadable in a checkpoint; empty if nothing is."""
    needed = NEEDED
    try:
        launches = read_launches(checkpoint)
        if launches and launches[-1]["arguments"]["adversarial_weight"] > 0:
            needed += NEEDED_FOR_D
    except (ValueError, LookupError, TypeError, OSError) as error:
        return f"{LAUNCHES} is damaged: {error}"
    for name in needed:
        if not (state_folder(checkpoint) / name).is_file():
            return f"{name} is missing"
    for path in sorted(p for p in checkpoint.rglob("*") if p.is_file()):
        try:
            if path.suffix == ".safetensors":
                with safe_open(path, "pt"):  # compares the header with the file's size
                    continue
            if path.suffix in {".bin", ".pkl", ".pt"}:
                with zipfile.ZipFile(path) as archive:  # what torch.save writes
                    if archive.testzip():
                        return f"{path.name} is damaged: wrong checksum"
        except (OSError, SafetensorError, zipfile.BadZipFile) as error:
            return f"{path.name} is damaged: {error}"
    return ""


def _remove(checkpoint: Path) -> None:
    """Remove a checkpoint under another name, so that half of it never passes for a whole one."""
    if checkpoint.exists():
        shutil.rmtree(checkpoint.rename(checkpoint.with_name(f"{checkpoint.name}.old")))


def remove_leftovers(output_dir: Path) -> None:
    """Remove what a killed run had begun to write or to remove."""
    for suffix in ("partial", "old"):
        for leftover in output_dir.glob(f"checkpoint-*.{suffix}"):
            shutil.rmtree(leftover)


def find_resume_folder(wanted: str | None, output_dir: Path) -> Path | None:
    """Return the checkpoint that `--resume_from_checkpoint` means; None if there is none yet.

    A damaged checkpoint is renamed, and the one before it is taken.

    Raises:
        SystemExit: The folder is missing or damaged, later checkpoints would be lost, every
            checkpoint is damaged, or the output folder holds an earlier run and nothing was said
            about resuming it.
    """
    found = find_checkpoints(output_dir)
    if wanted == "latest":
        return _latest_sound(found)
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
        if folder in found or folder.resolve() in map(Path.resolve, found):
            return _latest_sound(found)
        if problem := damage(folder):
            raise SystemExit(f"--resume_from_checkpoint {folder}: {problem}")
        return folder
    if found or (output_dir / "model.safetensors").exists():
        raise SystemExit(
            f"--output_dir {output_dir} holds an earlier run: continue it with "
            "--resume_from_checkpoint latest, or choose another folder."
        )
    return None


def _latest_sound(checkpoints: Sequence[Path]) -> Path | None:
    """Return the last checkpoint that is not damaged, and rename the damaged ones after it."""
    damaged = []
    for checkpoint in reversed(checkpoints):
        problem = damage(checkpoint)
        if not problem:
            for other in damaged:
                aside = other.with_name(f"{other.name}.damaged")
                shutil.rmtree(aside, ignore_errors=True)
                other.rename(aside)
                logger.warning("%s is kept as %s", other.name, aside.name)
            return checkpoint
        logger.warning("%s is damaged and is not used: %s", checkpoint.name, problem)
        damaged.append(checkpoint)
    if damaged:
        raise SystemExit(
            f"--resume_from_checkpoint: every checkpoint in {damaged[0].parent} is damaged: "
            "remove them to start again."
        )
    return None
