"""What the card of a trained set says of its training."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

UNPUBLISHED = {"metric_weights", "resume_from_checkpoint", "report_to", "pretrained_model"}
UNPUBLISHED |= {"push_to_hub", "hub_private_repo", "hub_dataset_ids", "data_credits"}
"""Flags that say nothing about the weights, or name folders of this machine."""

NO_CREDITS = "Their sources and licences were not recorded (`--data_credits` puts them here)."


def training_text(args: argparse.Namespace, *, steps: int, photos: int, machine: str) -> str:
    """Markdown: steps, machine, data with its credits, settings.

    Args:
        args: The flags of the run.
        steps: Made so far.
        photos: How many photographs it was trained on.
        machine: Processes, device and precision.
    """
    recipe = "\n".join(
        f"{key}: {Path(value).name if isinstance(value, Path) else value}"
        for key, value in vars(args).items()
        if value is not None and "dir" not in key and key not in UNPUBLISHED
    )
    credit = args.data_credits.read_text(encoding="utf-8").strip() if args.data_credits else ""
    return (
        f"{steps} steps by `train_accelerate.py`, torch {torch.__version__}, {machine}.\n\n"
        f"**Data.** {photos} photographs. {credit or NO_CREDITS}\n\n"
        f"**Settings.**\n\n```\n{recipe}\n```"
    )
