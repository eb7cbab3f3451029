"""Measure peak memory and time per megapixel for results from 1 to 100 megapixels.

    python -m benchmarks.memory [--peers] [--json FILE]

Each size runs in its own process, from file to file with default settings. The memory of the loaded
model is subtracted. The image is an example, repeated to the size. `--peers` adds Real-ESRGAN
x4plus for the smaller results, in tiles and with a number type like ours.
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
from benchmarks.peers import REAL_ESRGAN, Peer, real_esrgan
from hsr_hub import HSRNet
from hsr_hub.evaluation import peak_memory_mib
from hsr_hub.images import ImageData, read_image, write_image
from hsr_hub.inference import upscale_image

MEGAPIXELS = (1, 4, 16, 50, 100)
PEER_MEGAPIXELS = (1, 4)
"""Sizes for Real-ESRGAN, which takes about 30 times as long."""

OURS = "hsr-lite-x4"


def measure(name: str, megapixels: float, folder: Path) -> dict[str, float | str]:
    """Make a source, load the model and enlarge, in this process."""
    height = round(math.sqrt(megapixels * 1e6 / 16 * 3 / 4))
    width = round(height * 4 / 3)
    with Image.open(common.ROOT / "examples" / "coffee.png") as image:
        photo = np.asarray(image.convert("RGB"))
    repeats = (-(-height // photo.shape[0]), -(-width // photo.shape[1]), 1)
    source = folder / "source.png"
    Image.fromarray(np.tile(photo, repeats)[:height, :width]).save(source)
    model = real_esrgan() if name == REAL_ESRGAN else HSRNet.from_pretrained(name)
    model.upscale(photo[:32, :32])  # loads libraries and allocates buffers
    loaded = peak_memory_mib()
    started = time.perf_counter()
    image = read_image(source)
    read = time.perf_counter()
    if isinstance(model, Peer):
        result = ImageData(model.upscale(image.array), image.metadata)
    else:
        result = upscale_image(model, image)
    computed = time.perf_counter()
    write_image(result, folder / "result.png")
    written = time.perf_counter()
    size = result.size[0] * result.size[1] / 1e6
    return {
        "method": name,
        "megapixels": size,
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
    parser.add_argument("--peers", action="store_true", help=f"add {REAL_ESRGAN}")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)  # method and megapixels
    args = parser.parse_args()
    if args.one:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(args.one[0], float(args.one[1]), Path(folder))))
        return
    rows = []
    work = [(OURS, megapixels) for megapixels in MEGAPIXELS]
    if args.peers:
        work += [(REAL_ESRGAN, megapixels) for megapixels in PEER_MEGAPIXELS]
    for name, megapixels in work:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.memory", "--one", name, str(megapixels)],
            check=True,
            capture_output=True,
            text=True,
        )
        row = json.loads(done.stdout)
        rows.append(row)
        print(
            f"{name}, {row['megapixels']:.0f} MP: {row['peak_mib_above_model']:.0f} MiB above the "
            f"model, {row['compute_seconds_per_megapixel']:.3f} s/MP computed, "
            f"{row['seconds']:.1f} s file to file",
            flush=True,
        )
    common.save(args.json, rows=rows)


if __name__ == "__main__":
    main()
