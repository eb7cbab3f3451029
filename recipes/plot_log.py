"""Plot a training's log: python recipes/plot_log.py recipes/NAME/log.jsonl OUT.png.

What is drawn: validation PSNR, the loss with the learning rate, and
of an adversarial training LPIPS with how often the discriminator ranks real over fake.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt


def main(log: Path, picture: Path) -> None:
    """Read the lines (a later one for the same step replaces an earlier one), draw, save."""
    by_step: dict[int, dict[str, float]] = {}
    for line in log.read_text().splitlines():
        values = json.loads(line)
        by_step.setdefault(values.pop("step"), {}).update(values)
    steps = sorted(by_step)

    def series(key: str) -> tuple[list[int], list[float]]:
        at = [step for step in steps if key in by_step[step]]
        return at, [by_step[step][key] for step in at]

    adversarial = any("d/real_over_fake" in values for values in by_step.values())
    width = 5 * (2 + adversarial)
    figure, axes = plt.subplots(1, 2 + adversarial, figsize=(width, 3.6), layout="constrained")
    psnr, loss = axes[:2]
    for key in sorted({k for values in by_step.values() for k in values if "val/psnr/" in k}):
        psnr.plot(*series(key), marker="o", markersize=3, label=key.rpartition("/")[2])
    psnr.set(xlabel="step", ylabel="PSNR-Y (dB), averaged weights")
    psnr.locator_params(axis="x", nbins=6)
    psnr.legend()
    loss.plot(*series("loss_g/pixel"), linewidth=0.8)
    loss.set(xlabel="step", ylabel="L1 over all levels", yscale="log")
    rate = loss.twinx()
    rate.plot(*series("lr"), color="tab:orange", linewidth=1)
    rate.set_ylabel("learning rate", color="tab:orange")
    if adversarial:
        axes[2].plot(*series("val/lpips"), "o-", markersize=3)
        axes[2].set(xlabel="step", ylabel="LPIPS, averaged weights")
        rank = axes[2].twinx()
        rank.plot(*series("d/real_over_fake"), color="tab:orange", linewidth=0.8)
        rank.set_ylabel("real over fake (0.5: D cannot tell)", color="tab:orange")
        rank.set_ylim(0.4, 1)
    for axis in axes:
        axis.grid(alpha=0.3)
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
