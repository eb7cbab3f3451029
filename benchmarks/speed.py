"""Seconds for 320x180 to 1280x720 on this machine, interleaved in one run.

    python benchmarks/speed.py [--model hsr-lite-x4] [--peers] [--rounds 7] [--json FILE]

`model.upscale` from array to array against the plain fp32 NCHW eager forward of the same weights,
and with --peers the bare forwards of networks that users would otherwise pick, built by spandrel
with random weights. Medians; ratios are to the plain forward. Multiply-adds are torch's count, and
their share is of the machine's peak, a large matrix product of the same type in the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from hsr_hub import HSRNet
from hsr_hub.files import write_whole

WIDTH, HEIGHT, SCALE = 320, 180, 4
SLOW_SECONDS = 5
"""Beyond it, one round is enough."""


def peers() -> dict[str, torch.nn.Module]:
    """What users would otherwise pick, at scale 4."""
    from spandrel.architectures.Compact.__arch.SRVGG import SRVGGNetCompact
    from spandrel.architectures.ESRGAN.__arch.RRDB import RRDBNet
    from spandrel.architectures.SPAN.__arch.span import SPAN
    from spandrel.architectures.SwinIR.__arch.SwinIR import SwinIR

    return {
        "SPAN (48 features)": SPAN(num_in_ch=3, num_out_ch=3, feature_channels=48, upscale=4),
        "Compact (realesr-general)": SRVGGNetCompact(num_feat=64, num_conv=32, upscale=4),
        "SwinIR-light": SwinIR(
            upscale=4,
            img_size=64,
            window_size=8,
            img_range=1.0,
            depths=[6, 6, 6, 6],
            embed_dim=60,
            num_heads=[6, 6, 6, 6],
            mlp_ratio=2,
            upsampler="pixelshuffledirect",
        ),
        "RRDB (Real-ESRGAN x4plus)": RRDBNet(num_filters=64, num_blocks=23, scale=4),
    }


def peak(dtype: torch.dtype, side: int = 3072) -> float:
    """Multiply-adds per second of a large matrix product."""
    a, b = (torch.randn(side, side).to(dtype) for _ in range(2))
    seconds = [timed(lambda: a @ b) for _ in range(4)]
    return side**3 / min(seconds)


def timed(work: Callable[[], Any]) -> float:
    """Seconds of one call."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def main() -> None:
    """Print a table; write it as JSON too when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="hsr-lite-x4")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    lq = torch.from_numpy(image).permute(2, 0, 1)[None].contiguous().float() / 255
    model, same = (HSRNet.from_pretrained(args.model) for _ in range(2))
    networks: dict[str, torch.nn.Module] = {f"{args.model}, plain forward": same}
    if args.peers:
        networks.update(peers())
    work: dict[str, Callable[[], Any]] = {
        "upscale, default": lambda: model.upscale(image),
        'upscale, dtype="float32"': lambda: model.upscale(image, dtype="float32"),
    }
    for name, network in networks.items():
        network.eval()
        work[name] = lambda network=network: network(lq)

    plain = f"{args.model}, plain forward"
    seconds: dict[str, list[float]] = {name: [] for name in work}
    with torch.inference_mode():
        for name in work:
            timed(work[name])
        for _ in range(args.rounds):
            for name, call in work.items():
                if not seconds[name] or seconds[name][-1] < SLOW_SECONDS:
                    seconds[name].append(timed(call))
        peaks = {"fp32": peak(torch.float32), "bf16": peak(torch.bfloat16)}
        multiply_adds = {}
        for name, network in networks.items():
            with FlopCounterMode(display=False) as counter:
                network(lq)
            multiply_adds[name] = counter.get_total_flops() / 2

    rows = []
    for name, values in seconds.items():
        median = statistics.median(values)
        count = multiply_adds.get(name, multiply_adds[plain])
        network = networks.get(name, same)
        kind = "bf16" if name == "upscale, default" and peaks["bf16"] > peaks["fp32"] else "fp32"
        rows.append(
            {
                "name": name,
                "seconds": median,
                "spread": (max(values) - min(values)) / median,
                "times_faster_than_plain": statistics.median(seconds[plain]) / median,
                "parameters": sum(p.numel() for p in network.parameters()),
                "multiply_adds": count,
                "share_of_peak": count / median / peaks[kind],
                "peak": kind,
            }
        )
    print(
        "| what | seconds | spread | x faster | parameters | GMAdds | share of peak |\n"
        "|---|---|---|---|---|---|---|"
    )
    for row in rows:
        print(
            f"| {row['name']} | {row['seconds']:.3f} | {100 * row['spread']:.0f} % "
            f"| {row['times_faster_than_plain']:.2f} | {row['parameters'] / 1e6:.2f} M "
            f"| {row['multiply_adds'] / 1e9:.1f} | {100 * row['share_of_peak']:.0f} % "
            f"of {row['peak']} |"
        )
    print(
        f"\nPeak: {peaks['fp32'] / 1e9:.0f} G multiply-adds/s in fp32, "
        f"{peaks['bf16'] / 1e9:.0f} in bf16; "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}."
    )
    if args.json:
        with write_whole(args.json) as partial:
            partial.write_text(json.dumps({"peaks": peaks, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
