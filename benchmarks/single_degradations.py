"""Measure what the models for degraded images remove: one degradation at a time, at x1.

    python -m benchmarks.single_degradations FOLDER [--models NAME ...] [--json FILE]

FOLDER is a test set with HR/ and LRx4/. Each of its low-resolution images gets each of the
degradations and is restored by `scale=1`. The PSNR-Y against the image before the degradation tells
the gain. The computation is in fp32 and seeded: machines differ by rounding and by their JPEG
library.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from tqdm.auto import tqdm

from benchmarks import common
from hsr_hub import HSRNet
from hsr_hub.evaluation import find_pairs, psnr_y, read_pair
from hsr_hub.hub import bundled_models

REAL = [name for name in bundled_models() if name.endswith("-real")]


def blurred(image: np.ndarray, radius: float) -> np.ndarray:
    """Blur by a Gaussian whose standard deviation is `radius` pixels."""
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def noisy(image: np.ndarray, sigma: float) -> np.ndarray:
    """Add independent noise of standard deviation `sigma`, of 255. The noise is always the same."""
    noise = np.random.default_rng(0).standard_normal(image.shape)
    return (image + sigma * noise).round().clip(0, 255).astype(np.uint8)


def compressed(image: np.ndarray, quality: int) -> np.ndarray:
    """Save as JPEG with 4:2:0 subsampling, the default of most programs, and read it again."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(buffer).convert("RGB"))


DEGRADATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "blur of 0.7 pixels": partial(blurred, radius=0.7),
    "blur of 1 pixel": partial(blurred, radius=1),
    "noise of 10": partial(noisy, sigma=10),
    "noise of 20": partial(noisy, sigma=20),
    "JPEG, quality 75": partial(compressed, quality=75),
    "JPEG, quality 50": partial(compressed, quality=50),
    "JPEG, quality 25": partial(compressed, quality=25),
}


def measure(folder: Path, names: Sequence[str]) -> list[dict]:
    """Return a row per model and degradation: PSNR-Y in dB before and after the restoration."""
    images = [read_pair(*pair, 4)[0] for pair in find_pairs(folder, 4)]
    rows = []
    work = [(name, degradation) for name in names for degradation in DEGRADATIONS]
    nets = {name: HSRNet.from_pretrained(name) for name in names}
    for name, degradation in tqdm(work, desc=f"{folder.name}, single degradations"):
        metrics = []
        for image in images:
            given = DEGRADATIONS[degradation](image)
            restored = np.asarray(nets[name].upscale(given, scale=1, dtype="float32"))
            metrics.append([psnr_y(given, image, 1), psnr_y(restored, image, 1)])
        before, after = np.mean(metrics, axis=0).tolist()
        rows.append(
            {
                "set": folder.name,
                "images": len(images),
                "degradation": degradation,
                "method": name,
                "before": before,
                "after": after,
            }
        )
    return rows


def main() -> None:
    """Print a line per row and write them as JSON on request."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", "--sets", nargs="+", default=REAL)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = measure(args.folder, args.models)
    for row in rows:
        print(f"{row['method']}  {row['degradation']}  {row['before']:.2f}  {row['after']:.2f}")
    common.save(args.json, rows=rows)


if __name__ == "__main__":
    main()
