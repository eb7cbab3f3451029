"""Plots of what was measured: quality against time, and memory against size."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.readme import CITED, PLAIN, read

OURS, THEIRS = "#4f46e5", "#64748b"


def draw(folder: Path) -> None:
    """Write `pareto.png` and `memory.png`."""
    pareto(folder / "pareto.png")
    memory(folder / "memory.png")


def pareto(path: Path) -> None:
    """PSNR on Set14 against seconds on the CPU; up and to the left is better."""
    quality = {
        row["method"]: row["psnr_y"]
        for row in read("quality")["rows"]
        if row["set"] == "Set14" and row["level"] == 4 and not row["strength"]
    }
    quality |= {name: psnr[1] for name, (psnr, _) in CITED.items()}
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    up = True
    for row in read("speed")["rows"]:
        if row["device"] != "cpu" or row["name"] not in quality:
            continue
        label = f"{row['name']}, {row['way'] if row['ours'] else 'PSNR cited'}"
        place = (row["seconds"], quality[row["name"]])
        colour = OURS if row["ours"] else THEIRS
        axes.plot(*place, "o" if row["way"] == PLAIN else "D", color=colour)
        at_edge = row["seconds"] > 2
        tilt = 0 if not row["ours"] else 30 if up else -30
        up = up != row["ours"]  # ours stand close together: labels up and down in turn
        axes.annotate(
            label, place, fontsize=8, color=colour, textcoords="offset points",
            xytext=(-7, -3) if at_edge else (5, 5 if tilt > 0 else -9 if tilt else -3),
            ha="right" if at_edge else "left", rotation=tilt, rotation_mode="anchor",
        )  # fmt: skip
    axes.axhline(quality["bicubic"], color=THEIRS, linewidth=0.8, linestyle=":")
    axes.annotate("bicubic", (0.01, quality["bicubic"]), xycoords=("axes fraction", "data"),
                  xytext=(0, 3), textcoords="offset points", fontsize=8, color=THEIRS)  # fmt: skip
    axes.set(
        xscale="log",
        xlabel="seconds, 320x180 to 1280x720, two cores (diamonds: upscale; dots: plain fp32)",
        ylabel="PSNR-Y on Set14, x4 (dB)",
    )
    axes.margins(x=0.15, y=0.12)
    axes.grid(alpha=0.25, which="both")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def memory(path: Path) -> None:
    """Peak memory above the model, and computing time per megapixel, by the result's size."""
    rows = read("memory")["rows"]
    sizes = [row["megapixels"] for row in rows]
    figure, left = plt.subplots(figsize=(7, 3.4), layout="constrained")
    left.plot(sizes, [row["peak_mib_above_model"] for row in rows], "o-", color=OURS)
    left.set_xlabel("megapixels of the result")
    left.set_ylabel("MiB above the loaded model", color=OURS)
    left.set_ylim(bottom=0)
    right = left.twinx()
    right.plot(sizes, [row["compute_seconds_per_megapixel"] for row in rows], "s--", color=THEIRS)
    right.set_ylabel("seconds per megapixel", color=THEIRS)
    right.set_ylim(bottom=0)
    left.grid(alpha=0.25)
    figure.savefig(path, dpi=130)
    plt.close(figure)
