"""The short comparisons behind the network's shape: same steps, same data, one variant each.

    python recipes/hsr-lite-x4/compare.py NAME --out DIR

prints the validation figures of variant NAME (see VARIANTS) on Set5 and Set14 under HSR_DATA.
README.md beside this file has the table.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import train_accelerate
from hsr_hub import network as modeling
from hsr_hub.evaluation import data_root

BASE = ["--widths", "48", "16", "8", "--learning_rate", "2.5e-3"]


def plain_branches() -> None:
    """The eight convolutions one after another, without residuals."""

    def forward(self: modeling.Branch, lq: Tensor) -> Tensor:
        for conv in self.convs:
            lq = modeling._activation(conv(lq))
        return lq

    modeling.Branch.forward = forward


def no_input_skip() -> None:
    """The heads give whole images instead of what bicubic lacks."""

    def reconstruct(self: modeling.HSRNetwork, lq: Tensor, wanted: list[int]) -> list[Tensor]:
        return self.reconstruction(self.fusion(self.extraction(lq)), wanted)

    modeling.HSRNetwork._reconstruct = reconstruct  # pyright: ignore[reportAttributeAccessIssue]


def silu() -> None:
    """SiLU for the leaky ReLU."""
    modeling._activation = F.silu


VARIANTS = {
    "base": ([*BASE], None),
    "balanced": ([*BASE, "--widths", "24", "16", "12"], None),
    "plain-branches": ([*BASE], plain_branches),
    "no-input-skip": ([*BASE], no_input_skip),
    "silu": ([*BASE], silu),
    "lr-4e-3": ([*BASE, "--learning_rate", "4e-3"], None),
}


def main() -> None:
    """Train one variant and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("variant", choices=VARIANTS)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    flags, patch = VARIANTS[args.variant]
    if patch:
        patch()
    data = data_root()
    steps = str(args.steps)
    train_accelerate.main(
        [
            *("--train_data_dir", str(data / "train" / "photos-1"), "--output_dir", str(args.out)),
            *("--validation_data_dir", str(data / "test" / "Set5"), str(data / "test" / "Set14")),
            *("--cache_images", "--max_train_steps", steps, "--validation_steps", steps),
            *("--checkpointing_steps", steps, "--lr_warmup_steps", "50", "--ema_decay", "0.99"),
            *flags,
        ]
    )


if __name__ == "__main__":
    main()
