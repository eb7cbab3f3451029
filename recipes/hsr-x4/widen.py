"""A wider network that does exactly what a narrower one does, to start a training from.

    python recipes/hsr-x4/widen.py hsr-lite-x4 OUT

OUT is a folder for `--pretrained_model`. The old channels keep their weights and read nothing from
the new ones; the new ones start at random and are read by nobody yet, so the first step of the
training already has the old network's quality, and capacity to go on from it.
"""

from __future__ import annotations

import sys
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from hsr_hub import HSRNet

WIDTHS, FUSION_WIDTH, RECONSTRUCTION_WIDTHS = (96, 32, 16), 96, (48, 24)
SEED = 0


def widen(old: HSRNet, new: HSRNet) -> HSRNet:
    """Put the old network's weights into the new one.

    Args:
        old: The narrower network; same scale and kernel sizes.
        new: Freshly made, at least as wide everywhere.

    Returns:
        `new`, whose images are now those of `old`.
    """
    offsets = [0, *accumulate(new.config["widths"])]
    # The fusion reads all branches side by side; everywhere else old channels come first.
    fused = [
        offset + channel
        for offset, width in zip(offsets, old.config["widths"], strict=False)
        for channel in range(width)
    ]
    weights = dict(old.named_parameters())
    with torch.no_grad():
        for name, theirs in new.named_parameters():
            ours: Tensor = weights[name]
            if ours.ndim == 4:
                inputs = fused if name == "fusion.conv1.weight" else list(range(ours.shape[1]))
                theirs[: len(ours)] = 0
                theirs[: len(ours), inputs] = ours
            else:
                theirs[: len(ours)] = ours
    return new


def wide(old: HSRNet) -> HSRNet:
    """A network of hsr-x4's widths that computes what `old` does."""
    torch.manual_seed(SEED)
    new = HSRNet(
        scale=old.scale,
        kernel_sizes=old.config["kernel_sizes"],
        widths=WIDTHS,
        dilations=old.config["dilations"],
        fusion_width=FUSION_WIDTH,
        reconstruction_widths=RECONSTRUCTION_WIDTHS,
    )
    return widen(old, new)


def main(name: str, out: Path) -> None:
    """Write the widened network."""
    wide(HSRNet.from_pretrained(name)).save_pretrained(out)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
