"""A test set as people's pictures are: blurred, noisy, JPEG-compressed low-resolution images.

    python benchmarks/degrade.py FOLDER OUT [--scale 4] [--seed 0]

Reads FOLDER/HR, writes OUT/HR (cropped to whole multiples of the scale) and OUT/LRx4 for
`hsr-hub evaluate`. The degradations are the fixed protocol of the results, and independent from
training: see `degradation_protocol.py`. They are drawn by the seed and the picture's place in the
folder: the same files on every machine.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.degradation_protocol import degrade
from hsr_hub.evaluation import find_pairs, read_pair

DEGRADED = "-degraded"
"""What a test set is called after it was degraded."""


def degrade_set(folder: Path, out: Path, scale: int = 4, seed: int = 0) -> None:
    """Write a degraded copy of a test set."""
    for name in ("HR", f"LRx{scale}"):
        (out / name).mkdir(parents=True, exist_ok=True)
    for index, (lq_path, gt_path) in enumerate(find_pairs(folder, scale)):
        _, gt = read_pair(lq_path, gt_path, scale)
        lq = degrade(gt, scale, np.random.default_rng([seed, index]))
        Image.fromarray(gt).save(out / "HR" / f"{gt_path.stem}.png")
        Image.fromarray(lq).save(out / f"LRx{scale}" / f"{gt_path.stem}.png")


def found(name: str, tests: Path, made: Path) -> Path:
    """The folder of a test set by its name, made where that ends in `-degraded`.

    Args:
        name: "Set14", or "Set14-degraded" for a degraded copy.
        tests: Where the test sets lie.
        made: Where a copy may be put.
    """
    if not name.endswith(DEGRADED):
        return tests / name
    degrade_set(tests / name.removesuffix(DEGRADED), made / name)
    return made / name


def main() -> None:
    """Do it for the folder that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    degrade_set(args.folder, args.out, args.scale, args.seed)


if __name__ == "__main__":
    main()
