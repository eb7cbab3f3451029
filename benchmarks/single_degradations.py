"""What the sets for people's pictures take out: one fault at a time, at the picture's own size.

    python benchmarks/faults.py FOLDER [--sets NAME ...] [--json FILE]

FOLDER is a test set with HR/ and LRx4/. Each of its LR pictures is given each of the faults and
cleaned up by `scale=1`; the PSNR-Y against the picture before the fault says what was gained. fp32
and seeded: machines differ by no more than rounding and their JPEG library.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from tqdm.auto import tqdm

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import common
from hsr_hub import HSRNet
from hsr_hub.evaluation import find_pairs, psnr_y, read_pair
from hsr_hub.hub import bundled_models

REAL = [name for name in bundled_models() if name.endswith("-real")]


def blurred(image: np.ndarray, radius: float) -> np.ndarray:
    """By a Gaussian of that standard deviation, in pixels."""
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def noisy(image: np.ndarray, sigma: float) -> np.ndarray:
    """Each value by itself, of that standard deviation, of 255; the same noise every time."""
    noise = np.random.default_rng(0).standard_normal(image.shape)
    return (image + sigma * noise).round().clip(0, 255).astype(np.uint8)


def compressed(image: np.ndarray, quality: int) -> np.ndarray:
    """As JPEG, with the colours at half the size, which is what programs do unasked."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(buffer).convert("RGB"))


FAULTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "blur of 0.7 pixels": partial(blurred, radius=0.7),
    "blur of 1 pixel": partial(blurred, radius=1),
    "noise of 10": partial(noisy, sigma=10),
    "noise of 20": partial(noisy, sigma=20),
    "JPEG, quality 75": partial(compressed, quality=75),
    "JPEG, quality 50": partial(compressed, quality=50),
    "JPEG, quality 25": partial(compressed, quality=25),
}


def measure(folder: Path, names: Sequence[str]) -> list[dict]:
    """A row per set and fault: PSNR-Y in dB of the pictures with it, and cleaned up."""
    pictures = [read_pair(*pair, 4)[0] for pair in find_pairs(folder, 4)]
    rows = []
    work = [(name, fault) for name in names for fault in FAULTS]
    nets = {name: HSRNet.from_pretrained(name) for name in names}
    for name, fault in tqdm(work, desc=f"{folder.name}, faults"):
        figures = []
        for picture in pictures:
            given = FAULTS[fault](picture)
            cleaned = np.asarray(nets[name].upscale(given, scale=1, dtype="float32"))
            figures.append([psnr_y(image, picture, 1) for image in (given, cleaned)])
        before, after = np.mean(figures, axis=0).tolist()
        rows.append({"set": folder.name, "images": len(pictures), "fault": fault, "method": name})
        rows[-1] |= {"before": before, "after": after}
    return rows


def main() -> None:
    """Print a line per row; write JSON when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sets", nargs="+", default=REAL)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = measure(args.folder, args.sets)
    for row in rows:
        print(f"{row['method']}  {row['fault']}  {row['before']:.2f}  {row['after']:.2f}")
    common.save(args.json, rows=rows)


if __name__ == "__main__":
    main()
