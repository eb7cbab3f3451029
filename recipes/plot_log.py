"""Plot the log of a training.

    python -m recipes.plot_log recipes/NAME/log.jsonl OUT.png

Draws the validation PSNR, and the loss with the learning rate. For an adversarial training it also
draws LPIPS, and how often the discriminator ranks real over fake.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt


def plot(log: Path, out: Path) -> None:
    """Plot a log. A later line for the same step replaces an earlier one."""
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
    figure.savefig(out, dpi=110)


def main() -> None:
    """Plot the log of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("log", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    plot(args.log, args.out)


if __name__ == "__main__":
    main()
