"""The text about its training in a model's card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from hsr_hub.training.resume import Launch, changed_settings, settings

UNPUBLISHED = {"metric_weights", "pretrained_model", "pretrained_discriminator"}
"""Settings that may name folders of this machine, besides those with "dir" in their name."""

NO_CREDITS = "Their sources and licences were not recorded (`--data_credits` puts them here)."

HUB_CREDITS = "Their sources and licences are described there."

ONLY_WITH = {
    "adversarial_weight": ("discriminator_width", "discriminator_learning_rate"),
    "perceptual_weight": ("perceptual_layers", "perceptual_levels"),
    "dataset_name": ("dataset_split",),
    "validation_dataset_name": ("validation_dataset_split",),
    "validation": ("validation_steps", "patience_metric"),
}
"""Settings that have no effect, and are not published, without another one."""


def training_text(
    launches: Sequence[Launch],
    *,
    steps: int,
    saved_step: int,
    photos: int | None,
    credits: Path | None,
    datasets: Sequence[str] = (),
) -> str:
    """Return Markdown about steps, machine, data and settings.

    Args:
        launches: Every launch of the run, in order.
        steps: Steps done.
        saved_step: The step whose averaged weights were saved.
        photos: Number of training photographs; None for a stream.
        credits: Markdown file with their sources and licences.
        datasets: Hub ids of their data sets.
    """
    last = launches[-1]
    machine = (
        f"{last['processes']} process(es) on {last['device']}, mixed precision "
        f"{last['mixed_precision']}"
    )
    saved = ""
    if saved_step != steps:
        saved = f" The weights are those of step {saved_step}, which validated best."
    first = settings(launches[0])
    blocks = [f"**Settings.**\n\n{_block(_effective(first))}"]
    for before, launch in pairwise(launches):
        changes = {key: new for key, (_, new) in changed_settings(before, launch).items()}
        if block := _block(changes):
            blocks.append(f"**Changed at step {launch['from_step']}.**\n\n{block}")
    return (
        f"{steps} steps by `train_accelerate.py`, torch {torch.__version__}, {machine}.{saved}"
        f"{_start(first.get('pretrained_model'))}\n\n"
        f"**Data.** {_data(photos, credits, datasets)}\n\n" + "\n\n".join(blocks)
    )


def _data(photos: int | None, credits: Path | None, datasets: Sequence[str]) -> str:
    """Return sentences about the photographs and their origin."""
    number = "A stream of" if photos is None else str(photos)
    text = credits.read_text(encoding="utf-8").strip() if credits else ""
    if not text and datasets:
        links = [f"[{name}](https://huggingface.co/datasets/{name})" for name in datasets]
        return f"{number} photographs of {', '.join(links)}. {HUB_CREDITS}"
    return f"{number} photographs. {text or NO_CREDITS}"


def _start(pretrained: str | None) -> str:
    """Return a sentence about the weights that the run started from, without a local path."""
    if not pretrained:
        return ""
    path = Path(pretrained)
    name = path.resolve().name if path.exists() or path.is_absolute() else pretrained
    return f" The training started from the weights of `{name}`."


def _effective(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings without those that had no effect."""
    validates = values.get("validation_data_dir") or values.get("validation_dataset_name")
    needed = {**values, "validation": validates}
    without = {name for key, names in ONLY_WITH.items() if not needed.get(key) for name in names}
    return {
        key: value
        for key, value in values.items()
        if key not in without
        and value is not False
        and not (key.endswith("_weight") and value == 0)
    }


def _block(values: Mapping[str, Any]) -> str:
    """Return settings as a code block; empty if there are none to publish."""

    def shown(key: str, value: Any) -> Any:
        local = key.endswith("_path") or (key.endswith("dataset_name") and Path(value).exists())
        return Path(value).name if local else value

    lines = [
        f"{key}: {shown(key, value)}"
        for key, value in values.items()
        if value is not None and "dir" not in key and key not in UNPUBLISHED
    ]
    return "```\n" + "\n".join(lines) + "\n```" if lines else ""
