"""Plot the results: LPIPS against time and against JPEG quality, and memory against size."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.degrade import DEGRADED
from benchmarks.peers import REAL_ESRGAN
from benchmarks.results_tables import DEVICES, MAIN_SET, seconds_by_method
from benchmarks.tables import method_name, read

OURS, THEIRS = "#4f46e5", "#64748b"


def draw(folder: Path) -> None:
    """Write `pareto.png`, `jpeg-quality.png` and `memory.png`."""
    pareto(folder / "pareto.png")
    jpeg_quality(folder / "jpeg-quality.png")
    memory(folder / "memory.png")


def pareto(path: Path) -> None:
    """Plot LPIPS on degraded photos against seconds per megapixel. Lower left is better."""
    rows = [
        row
        for row in read("quality")["rows"]
        if row["set"] == MAIN_SET + DEGRADED and row["level"] == 4 and "lpips" in row
    ]
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for device, marker in (("cpu", "o"), ("cuda", "^")):
        seconds = seconds_by_method(device)
        shown = [row for row in rows if row["method"] in seconds and row["strength"] != 0.5]
        for row in shown:
            colour = OURS if row["method"].startswith("hsr-") else THEIRS
            point = (seconds[row["method"]], row["lpips"])
            axes.plot(*point, marker, color=colour)
            axes.annotate(
                method_name(row),
                point,
                xytext=(0, 6),
                textcoords="offset points",
                fontsize=8,
                color=colour,
                ha="right" if row["method"] == REAL_ESRGAN else "left",
            )
        if shown:
            axes.plot([], [], marker, color=THEIRS, label=DEVICES[device])
    for row in rows:
        if row["method"] == "bicubic":
            axes.axhline(row["lpips"], color=THEIRS, linewidth=0.8, linestyle=":")
            axes.annotate(
                "bicubic",
                (0.01, row["lpips"]),
                xycoords=("axes fraction", "data"),
                xytext=(0, 3),
                textcoords="offset points",
                fontsize=8,
                color=THEIRS,
            )
    axes.legend(loc="center right", fontsize=8)
    axes.set(
        xscale="log",
        xlabel="seconds per megapixel of the result (logarithmic)",
        ylabel=f"LPIPS on degraded {MAIN_SET}, x4 (lower is better)",
    )
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.margins(x=0.3, y=0.12)
    axes.grid(alpha=0.25, which="both")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def jpeg_quality(path: Path) -> None:
    """Plot LPIPS against the quality of the JPEG that was enlarged, for what visitors get."""
    pattern = re.compile(r"JPEG (\d+)")
    lines = [line for line in read("auto_choice")["rows"] if pattern.fullmatch(line["case"])]
    lines.sort(key=lambda line: int(line["case"].split()[1]))
    qualities = [int(line["case"].split()[1]) for line in lines]
    curves = {
        "bicubic": ("bicubic", THEIRS, ":"),
        "hsr-lite-x4": ("hsr-lite-x4, for clean images", OURS, ":"),
        REAL_ESRGAN: (REAL_ESRGAN, THEIRS, "-"),
        "auto": ("hsr-hub, automatic choice", OURS, "-"),
    }
    figure, axes = plt.subplots(figsize=(7, 3.8), layout="constrained")
    for key, (label, colour, style) in curves.items():
        if key in lines[0]:
            values = [line[key] for line in lines]
            axes.plot(qualities, values, style, marker="o", color=colour, label=label)
    axes.set(xlabel="quality of the JPEG", ylabel="LPIPS at x4 (lower is better)")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)
    axes.grid(alpha=0.25)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def memory(path: Path) -> None:
    """Plot peak memory above the model and computing time per megapixel against the size."""
    rows = [row for row in read("memory")["rows"] if row["method"].startswith("hsr-")]
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
