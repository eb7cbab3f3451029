"""The runner over test sets."""

from __future__ import annotations

import importlib.util
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
from PIL import Image
from tqdm.auto import tqdm

from hsr_hub.evaluation.datasets import find_pairs, read_pair
from hsr_hub.evaluation.lpips import LpipsSqueeze
from hsr_hub.evaluation.metrics import psnr_y, ssim_y

if TYPE_CHECKING:
    from hsr_hub.model import HSRNet


@dataclass
class Metrics:
    """Means over a test set, ours and bicubic's."""

    dataset: str
    scale: int
    images: int
    psnr_y: float
    ssim_y: float
    bicubic_psnr_y: float
    bicubic_ssim_y: float
    lpips: float | None
    bicubic_lpips: float | None
    seconds_per_megapixel: float
    """Seconds of `model.upscale` per megapixel of the result."""
    peak_memory_mib: float | None
    """The process's largest resident memory, model, libraries and metrics included."""
    device: str


def evaluate(
    model: HSRNet,
    folder: Path,
    *,
    scale: int | None = None,
    metric_weights: Path | None = None,
    dtype: str | None = None,
    progress: bool = True,
) -> Metrics:
    """Measure a network on a test set through `model.upscale`.

    Args:
        model: The network, on the device to measure on.
        folder: Holds `HR/` and `LRx{scale}/`; see `find_pairs`.
        scale: One of the model's levels above 1; by default its last.
        metric_weights: Folder of LPIPS weights; without it LPIPS is not measured.
        dtype: As for `upscale`; "float32" for figures that do not depend on the machine.
        progress: Show a progress bar.

    Raises:
        FileNotFoundError: The folder or a picture of a pair is missing.
        ValueError: The model has no such level, or a pair's sizes do not fit.
        ModuleNotFoundError: scikit-image or torchvision is not installed; the message says how.
    """
    needed = ["skimage", *(["torchvision"] if metric_weights else [])]
    for name in needed:
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(
                f"measuring needs {name}: pip install 'hsr-hub[evaluate]'", name=name
            )
    scale = scale or model.scale
    if scale not in model.levels[1:]:
        raise ValueError(f"scale must be one of {model.levels[1:]} for this model, not {scale}")
    lpips = LpipsSqueeze(metric_weights) if metric_weights else None
    rows: list[list[float]] = []
    seconds = megapixels = 0.0
    for lq_path, gt_path in tqdm(find_pairs(folder, scale), desc=folder.name, disable=not progress):
        lq, gt = read_pair(lq_path, gt_path, scale)
        started = time.perf_counter()
        sr = model.upscale(lq, scale=scale, dtype=dtype)
        seconds += time.perf_counter() - started
        megapixels += sr.shape[0] * sr.shape[1] / 1e6
        size = (gt.shape[1], gt.shape[0])
        bicubic = np.asarray(Image.fromarray(lq).resize(size, Image.Resampling.BICUBIC))
        row = []
        for image in (sr, bicubic):
            row += [psnr_y(image, gt, scale), ssim_y(image, gt, scale)]
            row += [lpips.distance(image, gt) if lpips else float("nan")]
        rows.append(row)
    means = np.mean(rows, axis=0).tolist()
    return Metrics(
        dataset=folder.resolve().name,
        scale=scale,
        images=len(rows),
        psnr_y=means[0],
        ssim_y=means[1],
        bicubic_psnr_y=means[3],
        bicubic_ssim_y=means[4],
        lpips=means[2] if lpips else None,
        bicubic_lpips=means[5] if lpips else None,
        seconds_per_megapixel=seconds / megapixels,
        peak_memory_mib=peak_memory_mib(),
        device=str(next(model.parameters()).device),
    )


def peak_memory_mib() -> float:
    """The process's largest resident memory so far."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / 1024**2
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, KiB elsewhere
    return peak / (1024**2 if sys.platform == "darwin" else 1024)


def table(figures: list[Metrics]) -> str:
    """The figures as a Markdown table, bicubic beside each."""
    lines = [
        "| test set | scale | PSNR-Y (bicubic) | SSIM-Y (bicubic) | LPIPS (bicubic) "
        "| s/MP | peak MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for f in figures:
        memory = "-" if f.peak_memory_mib is None else f"{f.peak_memory_mib:.0f}"
        lpips = "-" if f.lpips is None else f"{f.lpips:.3f} ({f.bicubic_lpips:.3f})"
        lines.append(
            f"| {f.dataset} ({f.images}) | x{f.scale} | {f.psnr_y:.2f} ({f.bicubic_psnr_y:.2f}) "
            f"| {f.ssim_y:.4f} ({f.bicubic_ssim_y:.4f}) | {lpips} "
            f"| {f.seconds_per_megapixel:.2f} | {memory} |"
        )
    return "\n".join(lines)
