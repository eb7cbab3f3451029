"""The arguments of every launch of a run, and what may change between launches."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsr_hub.model import HSRNet
from hsr_hub.network import NETWORK_ARGUMENTS
from hsr_hub.training.checkpoints import BEST, load_checkpoint, read_launches
from hsr_hub.training.checks import OTHER_TERMS, PIXEL_TERMS
from hsr_hub.training.state import RunState

if TYPE_CHECKING:
    from accelerate import Accelerator

    from hsr_hub.training.networks import TrainingNetworks

logger = logging.getLogger(__name__)

Launch = dict[str, Any]
"""`from_step`, `processes`, `device`, `mixed_precision`, `photos` (their number) and `arguments`.

All are JSON types."""

UNIMPORTANT = {
    "output_dir",
    "resume_from_checkpoint",
    "report_to",
    "push_to_hub",
    "hub_model_id",
    "hub_private_repo",
    "hub_dataset_ids",
    "hub_license",
    "push_checkpoints",
    "preset",
    "num_train_epochs",
    "data_credits",
    "logging_steps",
    "checkpointing_steps",
    "checkpoints_total_limit",
    "dataloader_num_workers",
    "cache_images",
    "compile",
    "save_last",
    "patience",
}
"""Arguments without influence on the weights."""

OTHER_CROPS = "the crops are not those of an uninterrupted run"
OTHER_RATE = "the learning rate follows the new schedule"
OTHER_START = "the weights are those of the checkpoint"
OTHER_MEASURE = "the best validation so far is forgotten"

EFFECTS = {
    "crop_size": OTHER_CROPS,
    "train_batch_size": OTHER_CROPS,
    "gradient_accumulation_steps": OTHER_CROPS,
    "processes": OTHER_CROPS,
    "seed": OTHER_CROPS,
    "train_data_dir": OTHER_CROPS,
    "train_pairs_dir": OTHER_CROPS,
    "dataset_name": OTHER_CROPS,
    "dataset_config_name": OTHER_CROPS,
    "dataset_split": OTHER_CROPS,
    "dataset_revision": OTHER_CROPS,
    "dataset_commit": OTHER_CROPS,
    "image_column": OTHER_CROPS,
    "max_train_samples": OTHER_CROPS,
    "streaming": OTHER_CROPS,
    "photos": OTHER_CROPS,
    "degradation": OTHER_CROPS,
    "pretrained_model": OTHER_START,
    "pretrained_discriminator": OTHER_START,
    "max_train_steps": OTHER_RATE,
    "learning_rate": OTHER_RATE,
    "discriminator_learning_rate": OTHER_RATE,
    "lr_warmup_steps": OTHER_RATE,
    "lr_scheduler": OTHER_RATE,
    "validation_data_dir": OTHER_MEASURE,
    "validation_dataset_name": OTHER_MEASURE,
    "validation_dataset_split": OTHER_MEASURE,
    "perceptual_levels": OTHER_MEASURE,
    "metric_weights": OTHER_MEASURE,
    "patience_metric": OTHER_MEASURE,
    "perceptual_layers": OTHER_MEASURE,
    "perceptual_weights_path": OTHER_MEASURE,
    # The adversarial loss is not part of what a validation measures.
    **dict.fromkeys({*PIXEL_TERMS, *OTHER_TERMS} - {"adversarial_weight"}, OTHER_MEASURE),
}
"""What a changed argument means for the run, besides its own meaning."""


def resume(
    args: Namespace,
    accelerator: Accelerator,
    nets: TrainingNetworks,
    state: RunState,
    folder: Path | None,
    photos: int | None = None,
) -> list[Launch]:
    """Restore a checkpoint, if there is one, and return all launches including this one.

    Args:
        args: The flags of this launch.
        accelerator: Holds networks, optimizers and random states.
        nets: The networks, which get the best weights so far.
        state: The state of the run.
        folder: The checkpoint.
        photos: Number of training photographs; None for a stream.
    """
    earlier = read_launches(folder) if folder else []
    comparable = True
    now = record_launch(
        args,
        from_step=0,
        processes=accelerator.num_processes,
        device=accelerator.device.type,
        mixed_precision=accelerator.mixed_precision,
        photos=photos,
    )
    if folder:
        if earlier:
            comparable = check_launch(folder, earlier[-1], now)
        load_checkpoint(accelerator, folder)
        if (folder / BEST).is_dir() and accelerator.is_main_process:
            nets.best = HSRNet.from_pretrained(folder / BEST).to(accelerator.device)
        logger.info("resumed from %s at step %d", folder, state.global_step)
    if not comparable:
        forget_best(nets, state)
    return [*earlier, {**now, "from_step": state.global_step}]


def forget_best(nets: TrainingNetworks, state: RunState) -> None:
    """Forget the best weights, because later validations cannot be compared with theirs."""
    nets.best = None
    state.forget_best()


def record_launch(
    args: Namespace,
    *,
    from_step: int,
    processes: int,
    device: str,
    mixed_precision: str,
    photos: int | None = None,
) -> Launch:
    """Return a launch's description for checkpoints and the model card."""
    return {
        "from_step": from_step,
        "processes": processes,
        "device": device,
        "mixed_precision": mixed_precision,
        "photos": photos,
        "arguments": {key: _plain(value) for key, value in vars(args).items()},
    }


def _plain(value: Any) -> Any:
    """Return a flag's value as JSON has it."""
    if isinstance(value, Path):
        return str(value)
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def settings(launch: Launch) -> dict[str, Any]:
    """Return all that can influence the weights, by name."""
    arguments = {k: v for k, v in launch["arguments"].items() if k not in UNIMPORTANT}
    return {
        **arguments,
        "processes": launch["processes"],
        "mixed_precision": launch["mixed_precision"],
        **({"photos": launch["photos"]} if launch.get("photos") else {}),
    }


def changed_settings(old: Launch, new: Launch) -> dict[str, tuple[Any, Any]]:
    """Return the settings that both launches have and that differ, with both values."""
    before, now = settings(old), settings(new)
    return {k: (before[k], now[k]) for k in now if k in before and before[k] != now[k]}


def check_launch(checkpoint: Path, old: Launch, new: Launch) -> bool:
    """Report every setting that differs from the launch that wrote a checkpoint.

    Returns:
        Whether later validations can be compared with earlier ones.

    Raises:
        SystemExit: The network, the discriminator or the optimizer differs; the message names every
            difference.
    """
    changed = changed_settings(old, new)
    # The checkpoint's weights and the optimizer's state would not fit.
    fixed = (*NETWORK_ARGUMENTS, "optimizer")
    refused = [_difference(key, *changed[key]) for key in fixed if key in changed]
    weights = [float(launch["arguments"]["adversarial_weight"]) for launch in (old, new)]
    if (weights[0] > 0) != (weights[1] > 0):
        refused.append(
            _difference("adversarial_weight", *weights)
            + (" (the discriminator would be lost)" if weights[0] else " (it has no discriminator)")
        )
    elif weights[0] > 0 and "discriminator_width" in changed:
        refused.append(_difference("discriminator_width", *changed["discriminator_width"]))
    if refused:
        raise SystemExit(
            f"--resume_from_checkpoint: {checkpoint} does not fit these flags:\n  "
            + "\n  ".join(refused)
            + "\nRepeat the earlier values, or start a new run in another --output_dir with "
            "--pretrained_model."
        )
    comparable = True
    for key, values in changed.items():
        effect = EFFECTS.get(key)
        comparable = comparable and effect != OTHER_MEASURE
        logger.warning("resumed: %s%s", _difference(key, *values), f"; {effect}" if effect else "")
    return comparable


NO_FLAGS = {"processes", "mixed_precision", "photos", "dataset_commit"}
"""Settings that are not flags of the script."""


def _difference(name: str, before: Any, now: Any) -> str:
    """Return one line about a changed setting; only flags have dashes."""
    flag = name if name in NO_FLAGS else f"--{name}"
    return f"{flag} was {_shown(before)} and is {_shown(now)}"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{key}:{weight:g}" for key, weight in value.items())
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
