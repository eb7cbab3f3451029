"""Read and enlarge thousands of damaged image files in one process.

    python -m benchmarks.fuzz [--files 4000] [--seed 0] [--json FILE]

Takes the images of `benchmarks.edge_cases` in all formats. Flips, cuts, repeats and overwrites
bytes, corrupts numbers in headers, and treats each file as `hsr-hub upscale` does, with the first
frame and with all frames. A file may be refused or enlarged. It must not raise another error, take
longer than ten seconds or leave a partial file. A crash would end the process. Prints the counts.
The exit code is 1 if a file misbehaved.
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

from benchmarks import common
from benchmarks.edge_cases import make
from hsr_hub import HSRNet
from hsr_hub.images import (
    Frame,
    ImageError,
    read_frames,
    read_image,
    result_paths,
    write_frames,
    write_image,
)
from hsr_hub.inference import UpscaleOptions, upscale_image

MAX_SECONDS = 10
MAX_PIXELS = 250_000
"""Larger images are refused, so that a header with a large size does not slow the whole run."""

TARGETS = ("result.png", "result.webp", "result.gif", "result.tif", "result.jpg")
"""Results of files with several frames, by turns."""

NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def change_tag_type(data: bytes, rng: random.Random) -> bytes:
    """Change the type of one tag of a little-endian TIFF."""
    at = int.from_bytes(data[4:8], "little")
    entry = at + 2 + 12 * rng.randrange(max(1, int.from_bytes(data[at : at + 2], "little")))
    return data[: entry + 2] + bytes([rng.randrange(1, 14), 0]) + data[entry + 4 :]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Damage one to four places, most of them near the start, where the headers are."""
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


def fix_checksums(png: bytes) -> bytes:
    """Correct the checksums of the chunks of a PNG. Readers reject a wrong one at once."""
    out, at = bytearray(png), 8
    while at + 12 <= len(out):
        length = int.from_bytes(out[at : at + 4], "big")
        end = at + 8 + length
        if end + 4 > len(out):
            break
        out[end : end + 4] = zlib.crc32(out[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(out)


def enlarge(model: HSRNet, path: Path, target: Path) -> list[str]:
    """Enlarge the first frame of a file, and then all of them.

    Args:
        model: The network.
        path: The file.
        target: The output file for all frames; that for a single one is a PNG.

    Returns:
        The sorted names of the output files.
    """
    options = UpscaleOptions(scale=1)
    first = upscale_image(model, read_image(path, max_pixels=MAX_PIXELS), options)
    frames = read_frames(path, max_pixels=MAX_PIXELS)
    if frames is None:
        write_image(first, target.with_suffix(".png"))
        return [target.with_suffix(".png").name]
    results = (
        Frame(upscale_image(model, frame.image, options), frame.duration) for frame in frames
    )
    write_frames(results, frames, target)
    return sorted(written.name for written in result_paths(target, frames))


def main() -> int:
    """Print and save the counts by format and outcome."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    warnings.simplefilter("ignore")
    model = HSRNet(
        kernel_sizes=[3], widths=[4], fusion_width=4, reconstruction_widths=[4, 4]
    ).eval()
    counts_by_format: dict[str, collections.Counter[str]] = collections.defaultdict(
        collections.Counter
    )
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
            data = change_tag_type(data, rng) if typed else mutate(data, rng)
            if source.suffix in {".png", ".apng"} and rng.random() < 0.8:
                data = fix_checksums(data)
            path.write_bytes(data)
            expected: list[str] = []
            started = time.perf_counter()
            try:
                expected = enlarge(model, path, folder / "out" / TARGETS[number % len(TARGETS)])
                outcome = "enlarged"
            except ImageError:
                outcome = "refused"
            except Exception as error:
                outcome = "misbehaved"
                misbehaved.append(f"{source.name}, file {number}: {error!r}")
            seconds = time.perf_counter() - started
            slowest = max(slowest, (seconds, f"{source.name}, file {number}, {outcome}"))
            if seconds > MAX_SECONDS:
                misbehaved.append(f"{source.name}, file {number}: {seconds:.0f} s")
            remaining = sorted(p.name for p in (folder / "out").iterdir())
            if remaining != expected:
                misbehaved.append(f"{source.name}, file {number}: {outcome}, but left {remaining}")
            for leftover in (folder / "out").iterdir():
                leftover.unlink()
            counts_by_format[source.suffix[1:] or "no suffix"][outcome] += 1
    rows = []
    for suffix, counts in sorted(counts_by_format.items()):
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
