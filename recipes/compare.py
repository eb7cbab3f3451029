"""Compare variants of the network in short runs: same steps, same data.

    python -m recipes.compare NAME --out DIR

Prints the validation metrics of variant NAME (see VARIANTS) on Set5 and Set14 under HSR_DATA.
recipes/hsr-lite-x4/README.md has the table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

import train_accelerate
from hsr_hub import network
from hsr_hub.evaluation import data_root

BASE = ["--widths", "48", "16", "8", "--learning_rate", "2.5e-3"]


def plain_branches() -> None:
    """Run the eight convolutions of a branch without residuals."""

    def forward(self: network.Branch, lq: Tensor) -> Tensor:
        for conv in self.convs:
            lq = network._activation(conv(lq))
        return lq

    network.Branch.forward = forward


def no_input_skip() -> None:
    """Let the heads return whole images, not the difference from bicubic."""

    def reconstruct(self: network.HSRNetwork, lq: Tensor, wanted: list[int]) -> list[Tensor]:
        return self.reconstruction(self.fusion(self.extraction(lq)), wanted)

    network.HSRNetwork._reconstruct = reconstruct  # pyright: ignore[reportAttributeAccessIssue]


def silu() -> None:
    """Replace the leaky ReLU by SiLU."""
    network._activation = F.silu


VARIANTS = {
    "base": ([*BASE], None),
    "balanced": ([*BASE, "--widths", "24", "16", "12"], None),
    "plain-branches": ([*BASE], plain_branches),
    "no-input-skip": ([*BASE], no_input_skip),
    "silu": ([*BASE], silu),
    "lr-4e-3": ([*BASE, "--learning_rate", "4e-3"], None),
}


def main() -> None:
    """Train one variant and print its metrics."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    flags, patch = VARIANTS[args.variant]
    if patch:
        patch()
    data = data_root()
    steps = str(args.steps)
    tests = [str(data / "test" / name) for name in ("Set5", "Set14")]
    arguments = ["--train_data_dir", str(data / "train" / "photos-1"), "--cache_images"]
    arguments += ["--validation_data_dir", *tests]
    arguments += ["--output_dir", str(args.out), "--max_train_steps", steps]
    arguments += ["--validation_steps", steps, "--checkpointing_steps", steps]
    arguments += ["--lr_warmup_steps", "50", "--ema_decay", "0.99"]
    train_accelerate.main([*arguments, *flags])


if __name__ == "__main__":
    main()
