"""Plot the results: quality against time, and memory against size."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.results_tables import CITED, PLAIN, UPSCALE, read

OURS, THEIRS = "#4f46e5", "#64748b"


def draw(folder: Path) -> None:
    """Write `pareto.png` and `memory.png`."""
    pareto(folder / "pareto.png")
    memory(folder / "memory.png")


def pareto(path: Path) -> None:
    """Plot PSNR on Set14 against seconds on the CPU. Up and to the left is better."""
    quality = {
        row["method"]: row["psnr_y"]
        for row in read("quality")["rows"]
        if row["set"] == "Set14" and row["level"] == 4 and not row["strength"]
    }
    # The models for degraded images have the same shape and speed as those for clean images.
    quality = {name: psnr for name, psnr in quality.items() if not name.endswith("-real")}
    quality |= {name: psnr[1] for name, (psnr, _) in CITED.items()}
    by_name: dict[str, list[dict]] = {}
    for row in read("speed")["rows"]:
        if row["device"] == "cpu" and row["name"] in quality:
            by_name.setdefault(row["name"], []).append(row)
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    markers = {f"{UPSCALE}, bf16": "D", f"{UPSCALE}, fp32": "s", PLAIN: "o"}
    for name, rows in by_name.items():
        colour = OURS if rows[0]["ours"] else THEIRS
        rows.sort(key=lambda row: row["seconds"])
        height = quality[name]
        axes.plot([row["seconds"] for row in rows], [height] * len(rows), color=colour, lw=1)
        for row in rows:
            axes.plot(row["seconds"], height, markers[row["way"]], color=colour)
        axes.annotate(
            name if rows[0]["ours"] else f"{name}, PSNR cited",
            (rows[0]["seconds"], height),
            xytext=(0, 8),
            textcoords="offset points",
            fontsize=8,
            color=colour,
            ha="right" if rows[0]["seconds"] > 2 else "left",
        )
    for way, marker in markers.items():
        axes.plot([], [], marker, color=OURS, label=way)
    axes.legend(loc="center right", fontsize=8)
    axes.axhline(quality["bicubic"], color=THEIRS, linewidth=0.8, linestyle=":")
    axes.annotate(
        "bicubic",
        (0.01, quality["bicubic"]),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        fontsize=8,
        color=THEIRS,
    )
    axes.set(
        xscale="log",
        xlabel="seconds, 320x180 to 1280x720, on the CPU of the table below",
        ylabel="PSNR-Y on Set14, x4 (dB)",
    )
    axes.margins(x=0.15, y=0.12)
    axes.grid(alpha=0.25, which="both")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def memory(path: Path) -> None:
    """Plot peak memory above the model and computing time per megapixel against the size."""
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
