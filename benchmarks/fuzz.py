"""Thousands of damaged picture files through reading and enlarging, in one process.

    python benchmarks/fuzz.py [--files 4000] [--seed 0] [--json FILE]

Takes the awkward pictures (`benchmarks/awkward.py`) of all formats, flips, cuts, repeats and
overwrites bytes, corrupts header numbers, and gives each to what `hsr-hub upscale` does with a
file. A file may be refused or go through. None may raise anything else, take longer than ten
seconds, or leave a partial file; a crash would end the process. Prints the tally; exit code 1 when
one misbehaved.
"""

from __future__ import annotations

import argparse
import collections
import random
import sys
import tempfile
import time
import warnings
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import common
from benchmarks.edge_cases import make
from hsr_hub import HSRNet
from hsr_hub.images import ImageError, read_image, write_image
from hsr_hub.inference import UpscaleOptions, upscale_image

MOST_SECONDS = 10
MOST_PIXELS = 250_000
"""Of a picture, so that one whose header grew does not take the time of all others."""

NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def mistyped(data: bytes, rng: random.Random) -> bytes:
    """A little-endian TIFF one of whose tags says that it holds another type."""
    at = int.from_bytes(data[4:8], "little")
    entry = at + 2 + 12 * rng.randrange(max(1, int.from_bytes(data[at : at + 2], "little")))
    return data[: entry + 2] + bytes([rng.randrange(1, 14), 0]) + data[entry + 4 :]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to four damages; most near the start, where the headers are."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if not out:
            break
        near = min(len(out), 200) if rng.random() < 0.6 else len(out)
        at = rng.randrange(near)
        match rng.randrange(6):
            case 0:
                out[at] ^= 1 << rng.randrange(8)
            case 1:
                del out[rng.randrange(len(out)) :]
            case 2:
                number = rng.choice(NUMBERS)
                size = rng.choice((1, 2, 4))
                order = rng.choice(("little", "big"))
                out[at : at + size] = (number % 256**size).to_bytes(size, order)
            case 3:
                end = min(len(out), at + rng.randint(1, 64))
                out[at:end] = rng.randbytes(end - at)
            case 4:
                del out[at : at + rng.randint(1, 16)]
            case _:
                end = min(len(out), at + rng.randint(1, 64))
                out[at:at] = out[at:end]
    return bytes(out)


def with_right_checksums(png: bytes) -> bytes:
    """A PNG whose chunks' checksums fit what was done to them: else none gets past the first."""
    out, at = bytearray(png), 8
    while at + 12 <= len(out):
        length = int.from_bytes(out[at : at + 4], "big")
        end = at + 8 + length
        if end + 4 > len(out):
            break
        out[end : end + 4] = zlib.crc32(out[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(out)


def main() -> int:
    """The tally, by format and outcome."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    warnings.simplefilter("ignore")
    model = HSRNet(
        kernel_sizes=[3], widths=[4], fusion_width=4, reconstruction_widths=[4, 4]
    ).eval()
    tally: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    misbehaved: list[str] = []
    slowest = (0.0, "")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder / "in")
        sources = sorted((folder / "in").iterdir())
        (folder / "out").mkdir()
        for number in range(args.files):
            source = sources[number % len(sources)]
            path = folder / f"file{source.suffix}"
            data = source.read_bytes()
            typed = source.suffix == ".tif" and data[:4] == b"II*\0" and rng.random() < 0.5
            data = mistyped(data, rng) if typed else mutate(data, rng)
            if source.suffix == ".png" and rng.random() < 0.8:
                data = with_right_checksums(data)
            path.write_bytes(data)
            target = folder / "out" / "result.png"
            started = time.perf_counter()
            try:
                picture = read_image(path, max_pixels=MOST_PIXELS)
                write_image(upscale_image(model, picture, UpscaleOptions(scale=1)), target)
                outcome = "enlarged"
            except ImageError:
                outcome = "refused"
            except Exception as error:
                outcome = "misbehaved"
                misbehaved.append(f"{source.name}, file {number}: {error!r}")
            seconds = time.perf_counter() - started
            slowest = max(slowest, (seconds, f"{source.name}, file {number}, {outcome}"))
            if seconds > MOST_SECONDS:
                misbehaved.append(f"{source.name}, file {number}: {seconds:.0f} s")
            left = [p.name for p in (folder / "out").iterdir()]
            if left != (["result.png"] if outcome == "enlarged" else []):
                misbehaved.append(f"{source.name}, file {number}: {outcome}, but left {left}")
            for leftover in (folder / "out").iterdir():
                leftover.unlink()
            tally[source.suffix[1:]][outcome] += 1
    rows = []
    for suffix, counts in sorted(tally.items()):
        outcomes = {name: counts[name] for name in ("refused", "enlarged", "misbehaved")}
        rows.append({"format": suffix, "files": counts.total(), **outcomes})
        print("  ".join(str(value) for value in rows[-1].values()))
    print(f"{args.files} files, {len(misbehaved)} misbehaved.")
    print(f"Slowest: {slowest[0]:.2f} s ({slowest[1]}).")
    common.save(args.json, rows=rows, slowest_seconds=slowest[0])
    print("\n".join(misbehaved[:20]))
    return 1 if misbehaved else 0


if __name__ == "__main__":
    sys.exit(main())
