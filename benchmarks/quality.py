"""Every shipped set against bicubic and Lanczos, on all test sets, levels and strengths.

    python benchmarks/quality.py [--data FOLDER] [--degrade SET] [--json FILE] [--sheet FILE]

FOLDER holds test sets with `HR/` and `LRx4/` (default: `test/` under HSR_DATA), SET is the one of
them that is measured as people's pictures are too (by degrade.py, and by faults.py with one fault
at a time; default: BSD100). Each method
enlarges the given LR pictures to every level; the ground truth of a level below the last is HR,
scaled down to it by antialiased bicubic. PSNR-Y, SSIM-Y and LPIPS by the field's protocol;
consistency is the PSNR (RGB) between the result, scaled down to the LR's size in the same way, and
the LR: what a method keeps of the picture that it was given; colour drift is the largest
difference, of all pictures, between the mean colours of result and bicubic. fp32, so the figures
are the same on every machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import common, single_degradations
from benchmarks.comparison_grid import SCALE, Method, sheet
from benchmarks.degrade import DEGRADED, found
from hsr_hub import HSRNet
from hsr_hub.evaluation import (
    LpipsSqueeze,
    colour_drift,
    consistency,
    data_root,
    find_pairs,
    psnr_y,
    read_pair,
    ssim_y,
)

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
    """A row per method and level; below the last level without mixtures, which cost time."""
    pairs = [read_pair(*pair, SCALE) for pair in find_pairs(folder, SCALE)]
    rows = []
    levels = (1, SCALE) if folder.name.endswith(DEGRADED) else (1, 2, SCALE)
    work = [(*m, level) for m in methods() for level in levels if level == SCALE or not m[1]]
    for name, strength, enlarge, level in tqdm(work, desc=folder.name):
        measured: dict[str, list[float]] = {"psnr_y": [], "ssim_y": [], "consistency": []}
        drift = 0.0
        for lq, gt in pairs:
            size = (lq.shape[1] * level, lq.shape[0] * level)
            label = gt if level == SCALE else resized(gt, size, Image.Resampling.BICUBIC)
            result = enlarge(lq, level)
            measured["psnr_y"].append(psnr_y(result, label, level))
            measured["ssim_y"].append(ssim_y(result, label, level))
            # What is kept whole has no finite PSNR: 8 bits resolve no more than this.
            measured["consistency"].append(min(consistency(result, lq), 60.0))
            drift = max(drift, colour_drift(result, lq))
            if lpips and level == SCALE:
                measured.setdefault("lpips", []).append(lpips.distance(result, label))
        means = {key: float(np.mean(values)) for key, values in measured.items()}
        rows.append(
            {"set": folder.name, "images": len(pairs), "method": name, "strength": strength}
            | {"level": level, "colour_drift": drift}
            | means
        )
    return rows


def columns() -> dict[str, Method]:
    """What the sheet shows: bicubic, and the sets for pictures that were made small cleanly."""
    shown = {}
    for name, strength, enlarge in methods():
        if name != "Lanczos" and not name.endswith("-real"):
            shown[f"{name}, strength {strength:g}" if strength else name] = enlarge
    return shown


def main() -> None:
    """Print a line per row; write JSON and the sheet when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=data_root() / "test")
    parser.add_argument("--degrade", metavar="SET", default="BSD100")
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
    with tempfile.TemporaryDirectory() as made:
        single = []
        if args.degrade in [folder.name for folder in folders]:
            folders.append(found(args.degrade + DEGRADED, args.data, Path(made)))
            single = single_degradations.measure(args.data / args.degrade, single_degradations.REAL)
        rows = [row for folder in folders for row in measure(folder, lpips)]
    for row in rows + single:
        print("  ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()))
    shown = columns()
    common.save(args.json, rows=rows, faults=single, sheet=list(shown))
    if args.sheet:
        sheet(list(shown.values())).save(args.sheet, optimize=True)


if __name__ == "__main__":
    main()
