"""Make a degraded copy of a test set: blurred, noisy, JPEG-compressed low-resolution images.

    python -m benchmarks.degrade FOLDER OUT [--scale 4] [--seed 0]

Reads FOLDER/HR, writes OUT/HR (cropped to whole multiples of the scale) and OUT/LRx4 for
`hsr-hub evaluate`. The degradations are the fixed protocol of the results and independent of
training: see `degradation_protocol.py`. They are drawn from the seed and the position of the image
in the folder, so that every machine writes the same files.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.degradation_protocol import degrade
from hsr_hub.evaluation import find_pairs, read_pair

DEGRADED = "-degraded"
"""Suffix of the name of a degraded test set."""


def degrade_set(folder: Path, out: Path, scale: int = 4, seed: int = 0) -> None:
    """Write a degraded copy of a test set."""
    for name in ("HR", f"LRx{scale}"):
        (out / name).mkdir(parents=True, exist_ok=True)
    for index, (lq_path, gt_path) in enumerate(find_pairs(folder, scale)):
        _, gt = read_pair(lq_path, gt_path, scale)
        lq = degrade(gt, scale, np.random.default_rng([seed, index]))
        Image.fromarray(gt).save(out / "HR" / f"{gt_path.stem}.png")
        Image.fromarray(lq).save(out / f"LRx{scale}" / f"{gt_path.stem}.png")


def degraded_set(name: str, tests: Path, out: Path) -> Path:
    """Return the folder of a test set by its name. Make it if the name ends in `-degraded`.

    Args:
        name: "Set14", or "Set14-degraded" for a degraded copy.
        tests: Folder of the test sets.
        out: Folder for a degraded copy.
    """
    if not name.endswith(DEGRADED):
        return tests / name
    degrade_set(tests / name.removesuffix(DEGRADED), out / name)
    return out / name


def main() -> None:
    """Degrade the test set of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    try:
        degrade_set(args.folder, args.out, args.scale, args.seed)
    except FileNotFoundError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
