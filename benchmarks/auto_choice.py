"""Measure whether the automatic choice of weights picks the best ones.

    python -m benchmarks.auto_choice [FOLDER] [--images 24] [--models NAME ...] [--peers]
                                     [--json FILE]
    python -m benchmarks.auto_choice --read-rows FILE

Each photo is made 4 times smaller and degraded in every way of `CASES`, encoded as a file, and
inspected as a whole. A crop of it is enlarged by every model and by bicubic; LPIPS compares the
crop with the original. FOLDER is a test set with `HR/`, or a folder of images. NAMEs are bundled
models, or folders named like them. `--peers` adds Real-ESRGAN x4plus, which the choice is not
compared with. `--read-rows` measures nothing. It judges the present thresholds on what an earlier
run wrote by `--save-rows`.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from benchmarks import common
from benchmarks.degradation_protocol import degrade
from benchmarks.peers import REAL_ESRGAN, Peer, real_esrgan
from benchmarks.single_degradations import blurred, compressed, noisy
from hsr_hub import HSRNet
from hsr_hub.evaluation import LpipsSqueeze, data_root
from hsr_hub.hub import DEFAULT_MODEL, bundled_models
from hsr_hub.hub.choose import Choice, Kind, choose_model, model_for
from hsr_hub.images import read_image, read_pil, to_rgb
from hsr_hub.images.analysis import ImageTraits, inspect_file

SCALE = 4
TOLERANCE = 0.005
"""LPIPS by which a pick may be worse than the best and still count as right."""

BICUBIC = "bicubic"
OTHERS = {BICUBIC, REAL_ESRGAN}
"""Methods that the page does not offer."""


def encoded(image: np.ndarray, format: str = "PNG", **options: Any) -> bytes:
    """Return the image as a file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format, **options)
    return buffer.getvalue()


def shifted(image: np.ndarray, quality: int) -> np.ndarray:
    """Return the image as cropped from a larger JPEG, off the grid of its blocks."""
    padded = np.pad(image, ((5, 8), (3, 8), (0, 0)), mode="edge")
    return compressed(padded, quality)[5 : 5 + image.shape[0], 3 : 3 + image.shape[1]]


def resized(image: np.ndarray, factor: float) -> np.ndarray:
    """Return the image at `factor` times the size, by antialiased bicubic."""
    size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


Case = Callable[[np.ndarray, np.ndarray, int], bytes]
"""Returns a file from the small image, the original and a seed."""


def _small(change: Callable[[np.ndarray], np.ndarray], **options: Any) -> Case:
    """Return a case that changes the small image and saves it."""
    return lambda lq, gt, seed: encoded(change(lq), **options)


def _same(image: np.ndarray) -> np.ndarray:
    return image


def _cases() -> dict[str, Case]:
    cases = {"clean": _small(_same)}
    for quality in (95, 90, 85, 75, 60, 50, 40, 30):
        cases[f"JPEG {quality}"] = _small(_same, format="JPEG", quality=quality)
    for quality in (75, 50):
        cases[f"JPEG {quality}, cropped, PNG"] = _small(partial(shifted, quality=quality))
    for quality in (90, 75, 50):
        cases[f"WebP {quality}"] = _small(_same, format="WEBP", quality=quality)
    cases["AVIF 75"] = _small(_same, format="AVIF", quality=75)
    for sigma in (3, 5, 10, 20):
        cases[f"noise {sigma}"] = _small(partial(noisy, sigma=sigma))
    for radius in (0.5, 1, 2):
        cases[f"blur {radius:g}"] = _small(partial(blurred, radius=radius))
    cases["noise 8, JPEG 70"] = _small(partial(noisy, sigma=8), format="JPEG", quality=70)
    cases["blur 1, noise 5"] = _small(lambda image: noisy(blurred(image, 1), 5))
    cases["blur 1, JPEG 75"] = _small(partial(blurred, radius=1), format="JPEG", quality=75)
    cases["JPEG 50, made smaller"] = lambda lq, gt, seed: encoded(
        resized(compressed(resized(gt, 2 / SCALE), 50), 0.5)
    )
    cases["mixed"] = lambda lq, gt, seed: encoded(degrade(gt, SCALE, np.random.default_rng(seed)))
    return cases


CASES = _cases()
"""What the photos go through, by name."""


def originals(folder: Path, count: int) -> list[np.ndarray]:
    """Return `count` images spread over a folder, (H,W,3) uint8, sides multiples of 4."""
    folder = folder / "HR" if (folder / "HR").is_dir() else folder
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in {".png", ".avif", ".jpg"})
    chosen = [paths[i * len(paths) // count] for i in range(count)] if len(paths) > count else paths
    images = [np.asarray(to_rgb(read_pil(path))) for path in chosen]
    return [image[: len(image) // 4 * 4, : image.shape[1] // 4 * 4] for image in images]


def measure(
    images: Sequence[np.ndarray], models: Sequence[str], crop: int, peers: bool = False
) -> list[dict]:
    """Return a row per image and case: the traits, and LPIPS by method.

    Args:
        images: Originals, (H,W,3) uint8, sides multiples of 4.
        models: Names or folders.
        crop: Side of the part of the original that is compared, in pixels.
        peers: Whether Real-ESRGAN is measured too.
    """
    lpips = LpipsSqueeze(data_root() / "weights")
    nets: dict[str, HSRNet | Peer] = {
        Path(name).name: HSRNet.from_pretrained(name).eval() for name in models
    }
    if peers:
        nets[REAL_ESRGAN] = real_esrgan()
    rows = []
    for index, gt in enumerate(tqdm(images, desc="images")):
        lq = resized(gt, 1 / SCALE)
        height, width = (min(crop // SCALE, side) for side in lq.shape[:2])
        top, left = (lq.shape[0] - height) // 2, (lq.shape[1] - width) // 2
        target = gt[top * SCALE : (top + height) * SCALE, left * SCALE : (left + width) * SCALE]
        for case, make in CASES.items():
            file = io.BytesIO(make(lq, gt, index))
            image = read_image(file, case)
            traits = inspect_file(file, image)
            part = np.ascontiguousarray(image.array[top : top + height, left : left + width])
            results = {BICUBIC: resized(part, SCALE)}
            for name, net in nets.items():
                results[name] = np.asarray(net.upscale(part, scale=SCALE, dtype="float32"))
            distances = {name: lpips.distance(r, target) for name, r in results.items()}
            rows.append({"image": index, "case": case, "traits": dataclasses.asdict(traits)})
            rows[-1]["lpips"] = distances
    return rows


def picked(row: dict, default: str) -> Choice:
    """Return the automatic choice for a row."""
    return choose_model(ImageTraits(**row["traits"]), SCALE, model_names(row, default))


def model_names(row: dict, default: str) -> list[str]:
    """Return the models of a row.

    Raises:
        ValueError: The default model was not measured.
    """
    names = [name for name in row["lpips"] if name not in OTHERS]
    if default not in names:
        raise ValueError(f"no measurements of {default!r}: give --default one of {names}")
    return names


def summary(rows: Sequence[dict], default: str) -> list[dict]:
    """Return a line per case, one for all of them, and two for always choosing the same kind.

    Each has the mean LPIPS by method and of the pick ("auto"), the share of picks for photos, the
    share of picks within `TOLERANCE` of the best, and the share worse than bicubic.
    """
    automatic: list[Kind] = [picked(row, default).kind for row in rows]
    lines = []
    for case in CASES:
        places = [i for i, row in enumerate(rows) if row["case"] == case]
        if places:
            kinds: list[Kind] = [automatic[i] for i in places]
            lines.append(_line(case, [rows[i] for i in places], kinds, default))
    lines.append(_line("all", rows, automatic, default))
    for always in get_args(Kind):
        kinds = [always] * len(rows)
        lines.append(_line(f"all, always {always}", rows, kinds, default))
    return lines


def _line(case: str, rows: Sequence[dict], kinds: Sequence[Kind], default: str) -> dict:
    """Return a line of the summary for the kinds of weights that were chosen for the rows."""
    names = [
        model_for(k, model_names(r, default), default) for k, r in zip(kinds, rows, strict=True)
    ]
    auto = np.array([row["lpips"][name] for name, row in zip(names, rows, strict=True)])
    best = np.array([min(v for n, v in r["lpips"].items() if n != REAL_ESRGAN) for r in rows])
    bicubic = np.array([row["lpips"][BICUBIC] for row in rows])
    means = {
        name: float(np.mean([row["lpips"][name] for row in rows])) for name in rows[0]["lpips"]
    }
    return {
        "case": case,
        "images": len(rows),
        **means,
        "auto": float(auto.mean()),
        "photo": kinds.count("photo") / len(kinds),
        "best": float((auto <= best + TOLERANCE).mean()),
        "worse than bicubic": float((auto > bicubic).mean()),
    }


def table(lines: Sequence[dict]) -> str:
    """Return the summary as a table in Markdown."""
    shares = {"photo", "best", "worse than bicubic"}

    def cell(key: str, value: str | float) -> str:
        if key in shares:
            return f"{value:.0%}"
        return f"{value:.3f}" if isinstance(value, float) else str(value)

    head = [" | ".join(lines[0]), " | ".join("---" for _ in lines[0])]
    body = [" | ".join(cell(*item) for item in line.items()) for line in lines]
    return "\n".join(f"| {line} |" for line in head + body)


def main() -> None:
    """Print the table; write JSON when asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    # The choice is between weights of one size, which the device decides.
    models = [name for name in bundled_models() if name.startswith(DEFAULT_MODEL)]
    parser.add_argument("folder", type=Path, nargs="?", default=data_root() / "test" / "BSD100")
    parser.add_argument("--images", type=int, default=24, help="at most this many (default: 24)")
    parser.add_argument("--crop", type=int, default=128, help="compared side (default: 128)")
    parser.add_argument("--models", nargs="+", default=models)
    parser.add_argument("--default", default=DEFAULT_MODEL, help="weights for clean images")
    parser.add_argument("--peers", action="store_true", help=f"add {REAL_ESRGAN}")
    parser.add_argument("--save-rows", type=Path, metavar="FILE", help="write what was measured")
    parser.add_argument("--read-rows", type=Path, metavar="FILE", help="judge an earlier run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table")
    args = parser.parse_args()
    if args.read_rows:
        rows = json.loads(args.read_rows.read_text())["rows"]
    else:
        rows = measure(originals(args.folder, args.images), args.models, args.crop, args.peers)
    lines = summary(rows, args.default)
    print(table(lines))
    common.save(args.save_rows, rows=rows)
    common.save(
        args.json, set=args.folder.name, default=args.default, tolerance=TOLERANCE, rows=lines
    )


if __name__ == "__main__":
    main()
