"""Trainings in the tests' own process, which start in a moment."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

from accelerate.state import AcceleratorState

import train_accelerate

NETWORK = [
    *("--kernel_sizes", "3", "5", "--widths", "8", "4", "--fusion_width", "8"),
    *("--reconstruction_widths", "8", "4", "--crop_size", "32", "--train_batch_size", "4"),
    *("--learning_rate", "2e-3", "--lr_warmup_steps", "2", "--logging_steps", "5"),
]

CPU = {"ACCELERATE_USE_CPU": "true"}


def train(photos: Path | None, out: Path, *flags: str, network: Sequence[str] = NETWORK) -> None:
    """Run `train_accelerate.main` on the CPU and restore what it changes in this process.

    Args:
        photos: Folder of photographs; None if the flags name other data.
        out: The output folder.
        flags: More flags.
        network: Flags of the network.
    """
    data = [] if photos is None else ["--train_data_dir", str(photos)]
    handlers = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        with mock.patch.dict(os.environ, CPU):
            train_accelerate.main(
                [
                    *(*data, "--output_dir", str(out)),
                    *("--dataloader_num_workers", "0", *network, *flags),
                ]
            )
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
        for number, handler in handlers.items():
            signal.signal(number, handler)
