"""Make a wider network that computes the same as a narrower one, to start a training from.

    python -m recipes.widen hsr-lite-x4 OUT

OUT is a folder for `--pretrained_model`. The old channels keep their weights and read nothing from
the new ones. The new channels start at random, and no output reads them yet. So the first step of
the training has the quality of the old network, and more capacity.
"""

from __future__ import annotations

import argparse
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from hsr_hub import HSRNet

WIDTHS, FUSION_WIDTH, RECONSTRUCTION_WIDTHS = (96, 32, 16), 96, (48, 24)
SEED = 0


def widen(old: HSRNet, new: HSRNet) -> HSRNet:
    """Copy the weights of the old network into the new one.

    Args:
        old: Narrower network with the same scale and kernel sizes.
        new: New network, at least as wide everywhere.

    Returns:
        `new`, which now computes the same images as `old`.
    """
    offsets = [0, *accumulate(new.config["widths"])]
    # The fusion reads the concatenated branches. Everywhere else old channels come first.
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


def widen_to_x4(old: HSRNet) -> HSRNet:
    """Return a network with the widths of hsr-x4 that computes the same as `old`."""
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


def main() -> None:
    """Write the widened network."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", help="bundled model, folder or repository")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    widen_to_x4(HSRNet.from_pretrained(args.name)).save_pretrained(args.out)


if __name__ == "__main__":
    main()
