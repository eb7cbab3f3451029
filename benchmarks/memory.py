"""Measure peak memory and time per megapixel for results from 1 to 100 megapixels.

    python -m benchmarks.memory [--json FILE]

Each size runs in its own process, from file to file with default settings. The memory of the loaded
model is subtracted. The image is an example, repeated to the size.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import common
from hsr_hub import HSRNet
from hsr_hub.evaluation import peak_memory_mib
from hsr_hub.images import read_image, write_image
from hsr_hub.inference import default_tile_size, upscale_image

MEGAPIXELS = (1, 4, 16, 50, 100)


def measure(megapixels: float, folder: Path) -> dict[str, float]:
    """Make a source, load the model and enlarge, in this process."""
    height = round(math.sqrt(megapixels * 1e6 / 16 * 3 / 4))
    width = round(height * 4 / 3)
    with Image.open(common.ROOT / "examples" / "coffee.png") as image:
        photo = np.asarray(image.convert("RGB"))
    repeats = (-(-height // photo.shape[0]), -(-width // photo.shape[1]), 1)
    source = folder / "source.png"
    Image.fromarray(np.tile(photo, repeats)[:height, :width]).save(source)
    model = HSRNet.from_pretrained("hsr-lite-x4")
    model.upscale(photo[:32, :32])  # loads libraries and allocates buffers
    loaded = peak_memory_mib()
    started = time.perf_counter()
    image = read_image(source)
    read = time.perf_counter()
    result = upscale_image(model, image)
    computed = time.perf_counter()
    write_image(result, folder / "result.png")
    written = time.perf_counter()
    size = result.size[0] * result.size[1] / 1e6
    return {
        "megapixels": size,
        "tile": default_tile_size(model, 4, next(model.parameters()).device),
        "peak_mib_above_model": peak_memory_mib() - loaded,
        "compute_seconds_per_megapixel": (computed - read) / size,
        "seconds": written - started,
    }


def main() -> None:
    """Print a line per size and write them as JSON on request."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(args.one, Path(folder))))
        return
    rows = []
    for megapixels in MEGAPIXELS:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.memory", "--one", str(megapixels)],
            check=True,
            capture_output=True,
            text=True,
        )
        row = json.loads(done.stdout)
        rows.append(row)
        print(
            f"{row['megapixels']:.0f} MP: {row['peak_mib_above_model']:.0f} MiB above the "
            f"model, {row['compute_seconds_per_megapixel']:.3f} s/MP computed, "
            f"{row['seconds']:.1f} s file to file",
            flush=True,
        )
    common.save(args.json, rows=rows)


if __name__ == "__main__":
    main()
