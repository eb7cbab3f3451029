"""Seconds for 320x180 to 1280x720 on this machine, interleaved in one run.

    python benchmarks/speed.py [--model NAME ...] [--no_peers] [--rounds 7] [--json FILE]

`model.upscale` from array to array and the plain fp32 NCHW eager forward of each shipped set,
beside the plain forwards of networks that users would otherwise pick, built by spandrel with random
weights; on the CPU, then on the GPU where there is one. Medians; ratios are to the plain forward
of the first set. Multiply-adds are torch's count, and their share is of the machine's peak, a large
matrix product of the same type in the same run.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import common
from hsr_hub.inference import choose_dtype

WIDTH, HEIGHT, SCALE = 320, 180, 4
SLOW_SECONDS = 5
"""Beyond it, one round is enough."""

PLAIN, UPSCALE = "plain forward", "upscale"
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def peers() -> dict[str, nn.Module]:
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


def timed(work: Callable[[], Any]) -> float:
    """Seconds of one call, on the GPU to its end."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def peak(dtype: torch.dtype, device: str) -> float:
    """Multiply-adds per second of a large matrix product."""
    side = 3072 if device == "cpu" else 8192
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return side**3 / min(timed(lambda: a @ b) for _ in range(4))


def multiply_adds(network: nn.Module, lq: torch.Tensor) -> float:
    """Of one forward."""
    with FlopCounterMode(display=False) as counter:
        network(lq)
    return counter.get_total_flops() / 2


def measure(device: str, names: list[str], rounds: int, with_peers: bool) -> list[dict[str, Any]]:
    """A row per network and way to run it, in the same rounds."""
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    lq = torch.from_numpy(image).permute(2, 0, 1)[None].contiguous().float().to(device) / 255
    networks: dict[str, nn.Module] = {name: common.load(name).to(device) for name in names}
    if with_peers:
        networks |= {name: net.eval().to(device) for name, net in peers().items()}
    work: dict[tuple[str, str], Callable[[], Any]] = {}
    kinds: dict[tuple[str, str], str] = {}
    by_type = {dtype: kind for kind, dtype in TYPES.items()}
    for name, network in networks.items():
        if name in names:
            # Of its own: the engine lays the weights out anew.
            net = common.load(name).to(device)
            fastest = choose_dtype(None, torch.device(device), image.dtype)
            for dtype in dict.fromkeys((fastest, torch.float32)):
                key = (name, f"{UPSCALE}, {by_type[dtype]}")
                work[key] = lambda net=net, dtype=dtype: net.upscale(image, dtype=dtype)
                kinds[key] = by_type[dtype]
        work[name, PLAIN] = lambda network=network: network(lq)
        kinds[name, PLAIN] = "fp32"
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in work}
    with torch.inference_mode():
        for call in work.values():
            timed(call)
        for _ in range(rounds):
            for key, call in work.items():
                if not seconds[key] or seconds[key][-1] < SLOW_SECONDS:
                    seconds[key].append(timed(call))
        peaks = {kind: peak(TYPES[kind], device) for kind in set(kinds.values())}
        counts = {name: multiply_adds(network, lq) for name, network in networks.items()}
    reference = statistics.median(seconds[names[0], PLAIN])
    rows = []
    for (name, way), values in seconds.items():
        median = statistics.median(values)
        kind = kinds[name, way]
        rows.append(
            {
                "device": device, "name": name, "ours": name in names, "way": way,
                "seconds": median,
                "seconds_per_megapixel": median * 1e6 / (WIDTH * HEIGHT * SCALE**2),
                "spread": (max(values) - min(values)) / median,
                "times_faster": reference / median,
                "parameters": sum(p.numel() for p in networks[name].parameters()),
                "multiply_adds": counts[name],
                "share_of_peak": counts[name] / median / peaks[kind],
                "peak": peaks[kind], "dtype": kind,
            }
        )  # fmt: skip
    return rows


def main() -> None:
    """Print a table; write it as JSON too when asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", nargs="+", default=list(common.sets()))
    parser.add_argument("--no_peers", action="store_true")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    rows = []
    for device in devices:
        rows += measure(device, args.model, args.rounds, not args.no_peers)
    for row in rows:
        print(
            f"{row['device']}  {row['name']}, {row['way']}: {row['seconds']:.3f} s, spread "
            f"{100 * row['spread']:.0f} %, {row['times_faster']:.2f} times as fast, "
            f"{100 * row['share_of_peak']:.0f} % of the {row['dtype']} peak"
        )
    common.save(args.json, rows=rows, threads=torch.get_num_threads())


if __name__ == "__main__":
    main()
