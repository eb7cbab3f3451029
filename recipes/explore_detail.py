"""Compare short runs of the detail stage at equal minutes, from the weights of hsr-lite-x4.

    python -m recipes.explore_detail VARIANT --out DIR [--minutes 5 | --steps N]

Trains one variant (see VARIANTS) on the training photos under HSR_DATA, in bfloat16 on all cores.
Then measures it on Set14, alone and mixed half and half with the weights that it started from.
Prints a line of JSON and adds it to `exploration-detail.json`, from which
`python -m recipes.explore_detail table` makes the table of recipes/README.md. Nothing else should
run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import ROOT
from hsr_hub import HSRNet
from hsr_hub.evaluation import (
    LpipsSqueeze,
    colour_drift,
    consistency,
    data_root,
    find_pairs,
    psnr_y,
    read_pair,
)
from recipes.explore import command, trained

RESULTS = ROOT / "recipes" / "exploration-detail.json"
FIDELITY = "hsr-lite-x4"

BASE = {
    "--pretrained_model": FIDELITY,
    "--crop_size": "96",
    "--train_batch_size": "8",
    "--learning_rate": "2e-4",
    "--lr_warmup_steps": "30",
    "--ema_decay": "0.99",
    "--perceptual_weight": "3e-4",
    "--adversarial_weight": "0.01",
    "--consistency_weight": "1",
    "--discriminator_width": "32",
}

VARIANTS: dict[str, tuple[dict[str, str], str]] = {
    "base": ({}, "lambda 3e-4, eta 0.01, consistency 1; VGG to conv3_4; D 32 wide"),
    "no-adversarial": ({"--adversarial_weight": "0"}, "perceptual loss alone"),
    "eta-0.03": ({"--adversarial_weight": "0.03"}, "three times the adversarial loss"),
    "lambda-1e-3": ({"--perceptual_weight": "1e-3"}, "three times the perceptual loss"),
    "shallow": (
        {"--perceptual_layers": "conv1_2,conv2_2", "--perceptual_weight": "1e-3"},
        "VGG to conv2_2: more steps in the time",
    ),
    "rate-6e-4": ({"--learning_rate": "6e-4"}, "three times the generator's learning rate"),
}
"""Flags that differ from BASE, and a description."""


def measure(net: HSRNet) -> dict[str, float]:
    """Return means over Set14, and the largest colour drift."""
    lpips = LpipsSqueeze(data_root() / "weights")
    rows = []
    for pair in find_pairs(data_root() / "test" / "Set14", net.scale):
        lq, gt = read_pair(*pair, net.scale)
        sr = net.upscale(lq, dtype="float32")
        row = (lpips.distance(sr, gt), psnr_y(sr, gt, net.scale), consistency(sr, lq))
        rows.append([*row, colour_drift(sr, lq)])
    means = np.mean(rows, axis=0)
    names = ("lpips", "psnr_y", "consistency")
    drift = float(np.max(rows, axis=0)[-1])
    return {**dict(zip(names, means[:3].tolist(), strict=True)), "colour_drift": drift}


def explore(name: str, out: Path, minutes: float, steps: int | None) -> dict[str, Any]:
    """Train a variant for the minutes, or for the steps, and measure it."""
    changes, what = VARIANTS[name]
    data = data_root()
    vgg = data / "weights" / "vgg19_caffe_conv1_1-conv3_4.fp16.safetensors"
    photos = [str(data / "train" / f"photos-{i}") for i in (1, 2, 3)]
    flags = ["--train_data_dir", *photos, "--cache_images", "--perceptual_weights_path", str(vgg)]
    flags += [text for pair in (BASE | changes).items() for text in pair]
    net, steps = trained(flags, out, minutes, steps)
    lines = [json.loads(line) for line in (out / "run" / "log.jsonl").read_text().splitlines()]
    ranks = [line["d/real_over_fake"] for line in lines if "d/real_over_fake" in line]
    half = HSRNet.interpolate(HSRNet.from_pretrained(FIDELITY), net, 0.5)
    return {
        "variant": name,
        "what": what,
        "steps": steps,
        "real_over_fake": float(np.mean(ranks[len(ranks) // 2 :])) if ranks else None,
        "detail": measure(net),
        "half": measure(half),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    head = ["variant", "what", "steps", "LPIPS", "PSNR-Y", "consistency", "drift"]
    head += ["LPIPS at 0.5", "real over fake"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        found, rank = row["detail"], row["real_over_fake"]
        lines.append(
            [
                f"`{row['variant']}`",
                row["what"],
                str(row["steps"]),
                f"{found['lpips']:.3f}",
                f"{found['psnr_y']:.2f}",
                f"{found['consistency']:.1f}",
                f"{found['colour_drift']:.2f}",
                f"{row['half']['lpips']:.3f}",
                "-" if rank is None else f"{rank:.2f}",
            ]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    command(VARIANTS, explore, RESULTS, table)
