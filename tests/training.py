"""Trainings in the tests' own process, which start in a moment."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import torch
from accelerate.state import AcceleratorState
from safetensors.torch import save_file

import train_accelerate
from hsr_hub import HSRNet

NETWORK = [
    *("--kernel_sizes", "3", "5", "--widths", "8", "4", "--fusion_width", "8"),
    *("--reconstruction_widths", "8", "4", "--crop_size", "32", "--train_batch_size", "4"),
    *("--learning_rate", "2e-3", "--lr_warmup_steps", "2", "--logging_steps", "5"),
]

VGG_LAYERS = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128)}
"""Channels of the first convolutions of VGG-19, by their index in torchvision's `features`."""


def write_small_vgg(path: Path) -> Path:
    """Write the first four convolutions of a VGG-19 with random weights, and return the file."""
    torch.manual_seed(0)
    state = {}
    for index, (given, made) in VGG_LAYERS.items():
        convolution = torch.nn.Conv2d(given, made, 3)
        for name, value in convolution.state_dict().items():
            state[f"features.{index}.{name}"] = value
    save_file(state, path)
    return path


def all_losses(vgg: Path) -> list[str]:
    """Return the flags of all three losses of the source, with a small VGG-19 and a small D."""
    return [
        *("--perceptual_weight", "0.01", "--adversarial_weight", "0.01"),
        *("--perceptual_layers", "conv1_2:0.5,conv2_2", "--perceptual_weights_path", str(vgg)),
        *("--discriminator_width", "4"),
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


def read_log(out: Path, key: str) -> dict[int, float]:
    """Return the values of a key in `log.jsonl` by their steps."""
    lines = (json.loads(line) for line in (out / "log.jsonl").read_text().splitlines())
    return {line["step"]: line[key] for line in lines if key in line}


def weights(model: HSRNet | Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a network, or of the one in a folder."""
    return (HSRNet.from_pretrained(model) if isinstance(model, Path) else model).state_dict()


def same_weights(a: HSRNet | Path, b: HSRNet | Path) -> bool:
    """Return whether two networks, or those in two folders, are equal to the bit."""
    ours, theirs = weights(a), weights(b)
    return list(ours) == list(theirs) and all(torch.equal(ours[key], theirs[key]) for key in ours)
