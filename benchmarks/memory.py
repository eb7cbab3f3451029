"""Peak memory and time per megapixel of results from 1 to 100 megapixels.

    python benchmarks/memory.py [--json FILE]

Each size in a process of its own, the loaded model's memory taken off; file to file, default
settings. The picture is an example, repeated to the size.
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

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

MEGAPIXELS = (1, 4, 16, 50, 100)


def one(megapixels: float, folder: Path) -> None:
    """In this process: make the source, load, enlarge; print figures as JSON."""
    import numpy as np
    from PIL import Image

    from hsr_hub import HSRNet
    from hsr_hub.evaluation import peak_memory_mib
    from hsr_hub.images import read_image, write_image
    from hsr_hub.inference import default_tile_size, upscale_image

    height = round(math.sqrt(megapixels * 1e6 / 16 * 3 / 4))
    width = round(height * 4 / 3)
    with Image.open(ROOT / "examples" / "coffee.png") as image:
        photo = np.asarray(image.convert("RGB"))
    repeats = (-(-height // photo.shape[0]), -(-width // photo.shape[1]), 1)
    source = folder / "source.png"
    Image.fromarray(np.tile(photo, repeats)[:height, :width]).save(source)
    model = HSRNet.from_pretrained("hsr-lite-x4")
    model.upscale(photo[:32, :32])  # libraries loaded, buffers made
    loaded = peak_memory_mib()
    started = time.perf_counter()
    picture = read_image(source)
    read = time.perf_counter()
    result = upscale_image(model, picture)
    computed = time.perf_counter()
    write_image(result, folder / "result.png")
    written = time.perf_counter()
    size = result.size[0] * result.size[1] / 1e6
    figures = {
        "megapixels": size,
        "tile": default_tile_size(model, 4, next(model.parameters()).device),
        "peak_mib_above_model": peak_memory_mib() - loaded,
        "compute_seconds_per_megapixel": (computed - read) / size,
        "seconds": written - started,
    }
    print(json.dumps(figures))


def main() -> None:
    """A process per size; a table, and JSON when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.one:
            one(args.one, Path(folder))
            return
        rows = []
        for megapixels in MEGAPIXELS:
            done = subprocess.run(
                [sys.executable, __file__, "--one", str(megapixels)],
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
    from benchmarks import common  # brings torch, which the processes load themselves

    common.save(args.json, rows=rows)


if __name__ == "__main__":
    main()
