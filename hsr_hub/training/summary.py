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


def training_text(
    launches: Sequence[Launch],
    *,
    steps: int,
    saved_step: int,
    photos: int | None,
    credits: Path | None,
) -> str:
    """Return Markdown about steps, machine, data and settings.

    Args:
        launches: Every launch of the run, in order.
        steps: Steps done.
        saved_step: The step whose averaged weights were saved.
        photos: Number of training photographs; None for a stream.
        credits: Markdown file with their sources and licences.
    """
    last = launches[-1]
    machine = (
        f"{last['processes']} process(es) on {last['device']}, mixed precision "
        f"{last['mixed_precision']}"
    )
    saved = ""
    if saved_step != steps:
        saved = f" The weights are those of step {saved_step}, which validated best."
    number = "A stream of" if photos is None else str(photos)
    credit = credits.read_text(encoding="utf-8").strip() if credits else NO_CREDITS
    blocks = [f"**Settings.**\n\n{_block(settings(launches[0]))}"]
    for before, launch in pairwise(launches):
        changes = {key: new for key, (_, new) in changed_settings(before, launch).items()}
        if block := _block(changes):
            blocks.append(f"**Changed at step {launch['from_step']}.**\n\n{block}")
    return (
        f"{steps} steps by `train_accelerate.py`, torch {torch.__version__}, {machine}.{saved}\n\n"
        f"**Data.** {number} photographs. {credit}\n\n" + "\n\n".join(blocks)
    )


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
