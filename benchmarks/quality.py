"""Every shipped set against bicubic and Lanczos, on all test sets, levels and strengths.

    python benchmarks/quality.py [--data FOLDER] [--json FILE] [--sheet FILE]

FOLDER holds test sets with `HR/` and `LRx4/` (default: `test/` under HSR_DATA). Each method
enlarges the given LR pictures to every level; the ground truth of a level below the last is HR,
scaled down to it by antialiased bicubic. PSNR-Y, SSIM-Y and LPIPS by the field's protocol;
consistency is the PSNR (RGB) between the result, scaled down to the LR's size in the same way, and
the LR: what a method keeps of the picture that it was given. fp32, so the figures are the same on
every machine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import common
from hsr_hub import HSRNet
from hsr_hub.evaluation import consistency, find_pairs, psnr_y, read_pair, ssim_y
from hsr_hub.lpips import LpipsSqueeze
from hsr_hub.paths import data_root

Method = Callable[[np.ndarray, int], np.ndarray]
"""An LR picture (H,W,3) and a factor to the result, all uint8."""

SCALE = 4
SHOWN = {
    "chelsea": (120, 60, 312, 204),
    "astronaut": (130, 30, 322, 174),
    "coffee": (260, 100, 452, 244),
}
"""Samples of scikit-image, and the part that is shown: left, top, right, bottom."""
FILTERS = {"bicubic": Image.Resampling.BICUBIC, "Lanczos": Image.Resampling.LANCZOS}


def resized(image: np.ndarray, size: tuple[int, int], by: Image.Resampling) -> np.ndarray:
    """By Pillow, which antialiases when it makes smaller."""
    return np.asarray(Image.fromarray(image).resize(size, by))


def by_filter(by: Image.Resampling, lq: np.ndarray, factor: int) -> np.ndarray:
    """An interpolation's result."""
    return resized(lq, (lq.shape[1] * factor, lq.shape[0] * factor), by)


def by_network(net: HSRNet, lq: np.ndarray, factor: int) -> np.ndarray:
    """A network's result."""
    return np.asarray(net.upscale(lq, scale=factor, dtype="float32"))


def methods() -> Iterator[tuple[str, float | None, Method]]:
    """Name, strength, and how to enlarge."""
    for name, by in FILTERS.items():
        yield name, None, partial(by_filter, by)
    for name, strengths in common.sets().items():
        for strength in strengths:
            yield name, strength, partial(by_network, common.load(name, strength))


def measure(folder: Path, lpips: LpipsSqueeze | None) -> list[dict]:
    """A row per method and level."""
    pairs = [read_pair(*pair, SCALE) for pair in find_pairs(folder, SCALE)]
    rows = []
    work = [(*method, level) for method in methods() for level in (1, 2, 4)]
    for name, strength, enlarge, level in tqdm(work, desc=folder.name):
        found: dict[str, list[float]] = {"psnr_y": [], "ssim_y": [], "consistency": []}
        for lq, gt in pairs:
            size = (lq.shape[1] * level, lq.shape[0] * level)
            label = gt if level == SCALE else resized(gt, size, Image.Resampling.BICUBIC)
            result = enlarge(lq, level)
            found["psnr_y"].append(psnr_y(result, label, level))
            found["ssim_y"].append(ssim_y(result, label, level))
            # What is kept whole has no finite PSNR: 8 bits resolve no more than this.
            found["consistency"].append(min(consistency(result, lq), 60.0))
            if lpips and level == SCALE:
                found.setdefault("lpips", []).append(lpips.distance(result, label))
        means = {key: float(np.mean(values)) for key, values in found.items()}
        rows.append(
            {"set": folder.name, "images": len(pairs), "method": name, "strength": strength}
            | {"level": level}
            | means
        )
    return rows


def sheet() -> Image.Image:
    """A row of crops per picture: every method's, and the original. Their licences allow that."""
    from skimage import data  # the same pictures as in examples/, in full size

    columns = [by for name, _, by in methods() if name != "Lanczos"]
    rows = []
    for picture, (left, top, right, bottom) in SHOWN.items():
        gt = getattr(data, picture)()
        height, width = (side // SCALE for side in gt.shape[:2])
        gt = gt[: height * SCALE, : width * SCALE]
        lq = resized(gt, (width, height), Image.Resampling.BICUBIC)
        shown = [*(enlarge(lq, SCALE) for enlarge in columns), gt]
        rows.append(np.hstack([image[top:bottom, left:right] for image in shown]))
    return Image.fromarray(np.vstack(rows).repeat(2, axis=0).repeat(2, axis=1))


def main() -> None:
    """Print a line per row; write JSON and the sheet when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=data_root() / "test")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sheet", type=Path)
    args = parser.parse_args()
    folders = [f for f in sorted(args.data.glob("*")) if (f / f"LRx{SCALE}").is_dir()]
    if not folders:
        raise SystemExit(
            f"{args.data} holds no folder with HR/ and LRx{SCALE}/: name one by --data"
        )
    weights = data_root() / "weights"
    lpips = LpipsSqueeze(weights) if weights.is_dir() else None
    rows = [row for folder in folders for row in measure(folder, lpips)]
    for row in rows:
        print("  ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()))
    common.save(args.json, rows=rows)
    if args.sheet:
        sheet().save(args.sheet, optimize=True)


if __name__ == "__main__":
    main()
