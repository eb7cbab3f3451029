"""Measure seconds for 320x180 to 1280x720 on this machine, interleaved in one run.

    python -m benchmarks.speed [--models NAME ...] [--peers] [--rounds 7] [--json FILE]

Measures each bundled model in two ways: `upscale` from array to array, and the plain forward in
fp32, NCHW and eager mode. `--peers` adds the networks that users would otherwise choose, in the
same two ways: same tiles, same number type, same memory layout. Their weights are random, which
does not change the time. Runs on the CPU, then on the GPU if there is one. Times are medians;
ratios are to the plain forward of the first model. Multiply-adds are counted by torch. Their share
is of the machine's peak, which is a large matrix product of the same type in the same run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import common
from benchmarks.peers import Peer, architectures
from hsr_hub import HSRNet
from hsr_hub.inference import choose_dtype

WIDTH, HEIGHT, SCALE = 320, 180, 4
SLOW_SECONDS = 5
"""A call that takes longer is measured once."""

PLAIN, UPSCALE = "plain forward", "upscale"
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def timed(work: Callable[[], Any]) -> float:
    """Return the seconds of one call, on a GPU until its work is finished."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def peak(dtype: torch.dtype, device: str) -> float:
    """Return the multiply-adds per second of a large matrix product."""
    side = 3072 if device == "cpu" else 8192
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    return side**3 / min(timed(lambda: a @ b) for _ in range(4))


def multiply_adds(network: nn.Module, lq: torch.Tensor) -> float:
    """Return the multiply-adds of one forward."""
    with FlopCounterMode(display=False) as counter:
        network(lq)
    return counter.get_total_flops() / 2


def measure(device: str, names: list[str], rounds: int, with_peers: bool) -> list[dict[str, Any]]:
    """Return a row per network and way to run it. All of them run in each round."""
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    lq = torch.from_numpy(image).permute(2, 0, 1)[None].contiguous().float().to(device) / 255
    plain: dict[str, nn.Module] = {name: common.load(name).to(device) for name in names}
    # Separate copies, because the engine changes the memory layout of the weights.
    tiled: dict[str, HSRNet | Peer] = {name: common.load(name).to(device) for name in names}
    if with_peers:
        plain |= {name: net.eval().to(device) for name, (net, _) in architectures().items()}
        tiled |= {name: Peer(*peer).to(device) for name, peer in architectures().items()}
    work: dict[tuple[str, str], Callable[[], Any]] = {}
    kinds: dict[tuple[str, str], str] = {}
    by_type = {dtype: kind for kind, dtype in TYPES.items()}
    fastest = choose_dtype(None, torch.device(device), image.dtype)
    for name, network in plain.items():
        # Half a minute of a large peer in fp32 would tell nothing that its plain forward does not.
        dtypes = (fastest, torch.float32) if name in names else (fastest,)
        for dtype in dict.fromkeys(dtypes):
            key = (name, f"{UPSCALE}, {by_type[dtype]}")
            work[key] = lambda net=tiled[name], dtype=dtype: net.upscale(image, dtype=dtype)
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
        counts = {name: multiply_adds(network, lq) for name, network in plain.items()}
    reference = statistics.median(seconds[names[0], PLAIN])
    rows = []
    for (name, way), values in seconds.items():
        median = statistics.median(values)
        kind = kinds[name, way]
        rows.append(
            {
                "device": device,
                "name": name,
                "ours": name in names,
                "way": way,
                "seconds": median,
                "seconds_per_megapixel": median * 1e6 / (WIDTH * HEIGHT * SCALE**2),
                "spread": (max(values) - min(values)) / median,
                "times_faster": reference / median,
                "parameters": sum(p.numel() for p in plain[name].parameters()),
                "multiply_adds": counts[name],
                "share_of_peak": counts[name] / median / peaks[kind],
                "peak": peaks[kind],
                "dtype": kind,
            }
        )
    return rows


def main() -> None:
    """Print a table and write it as JSON on request."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", "--model", nargs="+", default=list(common.model_strengths()))
    parser.add_argument("--peers", action="store_true", help="add other networks")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    rows = []
    for device in devices:
        rows += measure(device, args.models, args.rounds, args.peers)
    for row in rows:
        print(
            f"{row['device']}  {row['name']}, {row['way']}: {row['seconds']:.3f} s, spread "
            f"{100 * row['spread']:.0f} %, {row['times_faster']:.2f} times as fast, "
            f"{100 * row['share_of_peak']:.0f} % of the {row['dtype']} peak"
        )
    common.save(args.json, rows=rows, threads=torch.get_num_threads())


if __name__ == "__main__":
    main()
