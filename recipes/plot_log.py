"""Plot a training's log: python recipes/plot_log.py recipes/NAME/log.jsonl.

Writes `training-curve.png` beside the log: validation PSNR, and the loss with the learning rate.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt


def main(log: Path) -> None:
    """Read the lines (a later one for the same step replaces an earlier one), draw, save."""
    by_step: dict[int, dict[str, float]] = {}
    for line in log.read_text().splitlines():
        values = json.loads(line)
        by_step.setdefault(values.pop("step"), {}).update(values)
    steps = sorted(by_step)

    def series(key: str) -> tuple[list[int], list[float]]:
        at = [step for step in steps if key in by_step[step]]
        return at, [by_step[step][key] for step in at]

    figure, (psnr, loss) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
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
    for axis in (psnr, loss):
        axis.grid(alpha=0.3)
    figure.savefig(log.with_name("training-curve.png"), dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
