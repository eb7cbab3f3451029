"""Compare shapes and losses at equal minutes, before a long run.

    python -m recipes.explore VARIANT --out DIR [--minutes 5 | --steps N]

Trains one variant (see VARIANTS) on the training photos under HSR_DATA, in bfloat16 on all cores,
for as many steps as fit into the minutes. Then measures it on Set5 and Set14, and on Set14 degraded
by `benchmarks.degrade`. Prints a line of JSON and adds it to `exploration.json`, from which
`python -m recipes.explore table` makes the table of recipes/README.md. Nothing else should run.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

import train_accelerate
from benchmarks.common import ROOT
from benchmarks.degrade import degrade_set
from hsr_hub import HSRNet
from hsr_hub.evaluation import data_root, evaluate
from hsr_hub.training import networks

RESULTS = ROOT / "recipes" / "exploration.json"
TIMED_STEPS = 12


def pixel_loss(weights: Sequence[float], sr: Sequence[Tensor], gt: Sequence[Tensor]) -> Tensor:
    """Return the pixel loss with a weight for every level."""
    losses = [w * F.l1_loss(a, b) for w, a, b in zip(weights, sr, gt, strict=True) if w]
    return sum(losses[1:], start=losses[0])


class PlusSmallKernel(nn.Module):
    """Add a 3x3 kernel to the middle of a large one, so that two convolutions train as one."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.small = nn.Parameter(torch.zeros(*weight.shape[:2], 3, 3))
        nn.init.kaiming_uniform_(self.small, a=5**0.5)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the sum of both kernels, (out,in,k,k)."""
        return weight + F.pad(self.small, [(weight.shape[-1] - 3) // 2] * 4)


def reparameterised(build: Any, args: argparse.Namespace) -> HSRNet:
    """Return the network with `PlusSmallKernel` in its 5x5 and 7x7 convolutions."""
    net = build(args)
    for branch in net.extraction.branches[1:]:
        for conv in branch.convs:
            parametrize.register_parametrization(conv, "weight", PlusSmallKernel(conv.weight))
    return net


LITE = ["--kernel_sizes", "3", "5", "7", "--widths", "48", "16", "8"]
SERIAL = ["--kernel_sizes", "3", "--widths", "64"]
REAL = ["--degradation", "real"]
LAST_ONLY = (0, 0, 1)

VARIANTS: dict[str, tuple[list[str], Sequence[float], str]] = {
    "base": (LITE, (1, 1, 1), "branches 3, 5, 7 of 48, 16, 8 channels; every level supervised"),
    "serial": (SERIAL, LAST_ONLY, "one 3x3 branch of 64 channels, the last level alone"),
    "base-real": ([*LITE, *REAL], (1, 1, 1), "`base`, trained on degraded input"),
    "serial-real": ([*SERIAL, *REAL], LAST_ONLY, "`serial`, trained on degraded input"),
    "coarse-0.1": (LITE, (0.1, 0.1, 1), "the losses of x1 and x2 weigh a tenth"),
    "reparam": (LITE, (1, 1, 1), "a 3x3 kernel added to each 5x5 and 7x7 one, folded afterwards"),
}
"""Flags of the training, weights of the losses of the levels, and a description."""


def step_seconds(flags: list[str], out: Path) -> float:
    """Return the seconds of a step, without the first ones."""
    times: list[float] = []
    step = train_accelerate.generator_step

    def timed(*args: Any) -> Any:
        times.append(time.perf_counter())
        return step(*args)

    train_accelerate.generator_step = timed
    steps = ["--max_train_steps", str(TIMED_STEPS), "--checkpointing_steps", "1000"]
    train_accelerate.main([*flags, *steps, "--output_dir", str(out / "timing")])
    train_accelerate.generator_step = step
    return (times[-1] - times[3]) / (len(times) - 4)


def trained(flags: list[str], out: Path, minutes: float, steps: int | None) -> tuple[HSRNet, int]:
    """Return the averaged network after the minutes, or after the steps, and the steps."""
    steps = steps or int(60 * minutes / step_seconds(flags, out))
    steps_flags = ["--max_train_steps", str(steps), "--checkpointing_steps", str(steps)]
    train_accelerate.main([*flags, *steps_flags, "--output_dir", str(out / "run")])
    return HSRNet.from_pretrained(out / "run"), steps


def explore(name: str, out: Path, minutes: float, steps: int | None) -> dict[str, Any]:
    """Train a variant for the minutes, or for the steps, and measure it."""
    flags, weights, what = VARIANTS[name]
    data = data_root()
    train_accelerate.pixel_loss = partial(pixel_loss, weights)
    if name == "reparam":
        networks.build_generator = partial(reparameterised, networks.build_generator)
    photos = [str(data / "train" / f"photos-{i}") for i in (1, 2, 3)]
    common = "--fusion_width 48 --reconstruction_widths 24 12 --cache_images"
    common += " --crop_size 128 --train_batch_size 16 --learning_rate 2e-3"
    flags = ["--train_data_dir", *photos, *common.split(), *flags]
    net, steps = trained(flags, out, minutes, steps)
    for conv in [m for m in net.modules() if parametrize.is_parametrized(m)]:
        parametrize.remove_parametrizations(conv, "weight")
    degrade_set(data / "test" / "Set14", out / "Set14-degraded")
    sets = [data / "test" / "Set5", data / "test" / "Set14", out / "Set14-degraded"]
    found = {folder.name: evaluate(net, folder, dtype="float32").psnr_y for folder in sets}
    parameters = sum(p.numel() for p in net.parameters())
    return {
        "variant": name,
        "what": what,
        "steps": steps,
        "parameters": parameters,
        "psnr_y": found,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| variant | what | parameters | steps | Set5 | Set14 | Set14 degraded |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        psnr = " | ".join(f"{value:.2f}" for value in row["psnr_y"].values())
        lines.append(
            f"| `{row['variant']}` | {row['what']} | {row['parameters'] / 1000:.0f} k "
            f"| {row['steps']} | {psnr} |"
        )
    return "\n".join(lines)


def command(
    variants: Collection[str],
    explore: Callable[[str, Path, float, int | None], dict[str, Any]],
    results: Path,
    table: Callable[[list[dict[str, Any]]], str],
) -> None:
    """Explore the variant of the command line and save its metrics, or print a table of all."""
    parser = argparse.ArgumentParser(description="Compare short trainings.")
    parser.add_argument("variant", choices=[*variants, "table"])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--steps", type=int, help="train this many steps instead of minutes")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rows = json.loads(results.read_text()) if results.exists() else []
    if args.variant == "table":
        print(table(rows))
        return
    row = explore(args.variant, args.out, args.minutes, args.steps)
    print(json.dumps(row))
    rows = [r for r in rows if r["variant"] != args.variant]
    results.write_text(json.dumps([*rows, row], indent=2) + "\n")


if __name__ == "__main__":
    command(VARIANTS, explore, RESULTS, table)
