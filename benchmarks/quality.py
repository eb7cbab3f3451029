"""Measure bundled models, interpolations and peers on all test sets, levels and strengths.

    python -m benchmarks.quality [--data FOLDER] [--degrade SET ...] [--models NAME ...] [--peers]
                                 [--json FILE] [--grid FILE]

FOLDER holds test sets with `HR/` and `LRx4/` (default: `test/` under HSR_DATA). The sets named by
`--degrade` are also measured degraded (see degrade.py); the last of them also with one degradation
at a time (see single_degradations.py). `--peers` adds Real-ESRGAN x4plus at x4, which takes ten
minutes or more.

Each method enlarges the images of `LRx4/` to x4 and x1; the ground truth of x1 is HR, scaled down
by antialiased bicubic. Where a set has `LRx2/`, its images are enlarged to x2. PSNR-Y, SSIM-Y and
LPIPS follow the protocol of the field. Consistency is the PSNR (RGB) between the result, scaled
down again, and the input. Colour drift is the largest difference, over all images, between the mean
colours of the result and of bicubic's. Flat noise is measured where the original is flat, on
degraded sets. The computation is in fp32, so that the metrics are the same on every machine.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from benchmarks import common, single_degradations
from benchmarks.comparison_grid import SCALE, Method, comparison_grid
from benchmarks.degrade import DEGRADED, degraded_set
from benchmarks.peers import REAL_ESRGAN, Peer, real_esrgan
from hsr_hub import HSRNet
from hsr_hub.evaluation import (
    LpipsSqueeze,
    colour_drift,
    consistency,
    data_root,
    find_pairs,
    flat_noise,
    psnr_y,
    read_pair,
    ssim_y,
)

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "Lanczos": Image.Resampling.LANCZOS}


def resized(image: np.ndarray, size: tuple[int, int], by: Image.Resampling) -> np.ndarray:
    """Resize by Pillow, which antialiases when it scales down."""
    return np.asarray(Image.fromarray(image).resize(size, by))


def by_filter(by: Image.Resampling, lq: np.ndarray, factor: int) -> np.ndarray:
    """Enlarge by an interpolation."""
    return resized(lq, (lq.shape[1] * factor, lq.shape[0] * factor), by)


def by_network(net: HSRNet | Peer, lq: np.ndarray, factor: int) -> np.ndarray:
    """Enlarge by a network, in fp32."""
    return np.asarray(net.upscale(lq, scale=factor, dtype="float32"))


def methods(models: Iterable[str], peers: bool) -> Iterator[tuple[str, float | None, Method]]:
    """Yield name, strength and method of the interpolations, the models and the peers."""
    for name, by in FILTERS.items():
        yield name, None, partial(by_filter, by)
    for name in models:
        for strength in common.model_strengths()[name]:
            yield name, strength, partial(by_network, common.load(name, strength))
    if peers:
        yield REAL_ESRGAN, None, partial(by_network, real_esrgan())


def measure(
    folder: Path, lpips: LpipsSqueeze | None, models: Iterable[str], peers: bool
) -> list[dict]:
    """Return a row per method and level.

    Peers and mixtures are measured at the last level only: the others would double the time.
    """
    pairs = {SCALE: [read_pair(*pair, SCALE) for pair in find_pairs(folder, SCALE)]}
    pairs[1] = [
        (lq, resized(gt, (lq.shape[1], lq.shape[0]), Image.Resampling.BICUBIC))
        for lq, gt in pairs[SCALE]
    ]
    if (folder / "LRx2").is_dir():
        pairs[2] = [read_pair(*pair, 2) for pair in find_pairs(folder, 2)]
    rows = []
    is_degraded = folder.name.endswith(DEGRADED)
    work = [
        (name, strength, enlarge, level)
        for name, strength, enlarge in methods(models, peers)
        for level in sorted(pairs)
        if level == SCALE or not (strength or name == REAL_ESRGAN)
    ]
    for name, strength, enlarge, level in tqdm(work, desc=folder.name):
        measured: dict[str, list[float]] = {"psnr_y": [], "ssim_y": [], "consistency": []}
        drift = 0.0
        for lq, label in pairs[level]:
            result = enlarge(lq, level)
            measured["psnr_y"].append(psnr_y(result, label, level))
            measured["ssim_y"].append(ssim_y(result, label, level))
            # An image that is kept exactly has an infinite PSNR. 8 bits resolve no more than this.
            measured["consistency"].append(min(consistency(result, lq), 60.0))
            drift = max(drift, colour_drift(result, lq))
            if level > 1 and lpips:
                measured.setdefault("lpips", []).append(lpips.distance(result, label))
            if level == SCALE and is_degraded:
                noise = flat_noise(result, label)  # None: the original has no flat area
                measured.setdefault("flat_noise", []).extend([] if noise is None else [noise])
        means = {key: float(np.mean(values)) for key, values in measured.items() if values}
        rows.append(
            {
                "set": folder.name,
                "images": len(pairs[level]),
                "method": name,
                "strength": strength,
                "level": level,
                "colour_drift": drift,
                **means,
            }
        )
    return rows


def grid_columns(models: Iterable[str]) -> dict[str, Method]:
    """Return the columns of the comparison grid: bicubic and the models for clean images."""
    columns = {}
    for name, strength, enlarge in methods(models, peers=False):
        if name != "Lanczos" and not name.endswith("-real"):
            columns[f"{name}, strength {strength:g}" if strength else name] = enlarge
    return columns


def main() -> None:
    """Print a line per row. Write JSON and the comparison grid on request."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=data_root() / "test")
    parser.add_argument("--degrade", metavar="SET", nargs="*", default=["Set14", "BSD100"])
    known = list(common.model_strengths())
    parser.add_argument("--models", nargs="+", choices=known, default=known, metavar="NAME")
    parser.add_argument("--peers", action="store_true", help=f"add {REAL_ESRGAN}")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--grid", "--sheet", type=Path, help="file for crops side by side")
    args = parser.parse_args()
    folders = [f for f in sorted(args.data.glob("*")) if (f / f"LRx{SCALE}").is_dir()]
    if not folders:
        raise SystemExit(
            f"no folder in {args.data} has HR/ and LRx{SCALE}/: name another by --data"
        )
    weights = data_root() / "weights"
    lpips = LpipsSqueeze(weights) if weights.is_dir() else None
    names = [folder.name for folder in folders]
    to_degrade = [name for name in args.degrade if name in names]
    single = []
    with tempfile.TemporaryDirectory() as made:
        folders += [degraded_set(name + DEGRADED, args.data, Path(made)) for name in to_degrade]
        if to_degrade:
            names = [name for name in single_degradations.REAL if name in args.models]
            single = single_degradations.measure(args.data / to_degrade[-1], names)
        rows = [
            row for folder in folders for row in measure(folder, lpips, args.models, args.peers)
        ]
    for row in rows + single:
        print("  ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()))
    columns = grid_columns(args.models)
    common.save(args.json, rows=rows, single_degradations=single, comparison_grid=list(columns))
    if args.grid:
        comparison_grid(list(columns.values())).save(args.grid, optimize=True)


if __name__ == "__main__":
    main()
