"""Measure a network on a test set."""

from __future__ import annotations

import importlib.util
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from tqdm.auto import tqdm

from hsr_hub.evaluation.datasets import find_pairs, read_pair
from hsr_hub.evaluation.lpips import LpipsSqueeze
from hsr_hub.evaluation.metrics import flat_noise, psnr_y, ssim_y
from hsr_hub.inference import upscale
from hsr_hub.network import HSRNetwork


@dataclass
class Metrics:
    """Means over the images of a test set, for a network and for bicubic."""

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
    """Seconds of `upscale` per megapixel of the result."""
    peak_memory_mib: float | None
    """Largest resident memory of the process, including libraries and metrics."""
    device: str
    flat_noise: float | None = None
    """See `metrics.flat_noise`; None if the originals have no flat block."""
    bicubic_flat_noise: float | None = None


def evaluate(
    model: HSRNetwork,
    folder: Path,
    *,
    scale: int | None = None,
    metric_weights: Path | None = None,
    dtype: str | None = None,
    progress: bool = True,
) -> Metrics:
    """Measure a network on a test set through `hsr_hub.inference.upscale`.

    Args:
        model: The network, on the device to measure on.
        folder: Folder with `HR/` and `LRx{scale}/`; see `find_pairs`.
        scale: One of the model's levels above 1; by default its last.
        metric_weights: Folder of LPIPS weights. Without it, LPIPS is not measured.
        dtype: As for `upscale`. With "float32", the results do not depend on the machine.
        progress: Show a progress bar.

    Raises:
        FileNotFoundError: If the folder or an image of a pair is missing.
        ValueError: If the model has no such level, or the sizes of a pair do not match.
        ModuleNotFoundError: If scikit-image or torchvision is not installed; says how to install.
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
    noise: list[list[float | None]] = []
    seconds = megapixels = 0.0
    for lq_path, gt_path in tqdm(find_pairs(folder, scale), desc=folder.name, disable=not progress):
        lq, gt = read_pair(lq_path, gt_path, scale)
        started = time.perf_counter()
        sr = np.asarray(upscale(model, lq, scale=scale, dtype=dtype))
        seconds += time.perf_counter() - started
        megapixels += sr.shape[0] * sr.shape[1] / 1e6
        size = (gt.shape[1], gt.shape[0])
        bicubic = np.asarray(Image.fromarray(lq).resize(size, Image.Resampling.BICUBIC))
        row = []
        for image in (sr, bicubic):
            row += [psnr_y(image, gt, scale), ssim_y(image, gt, scale)]
            row += [lpips.distance(image, gt) if lpips else float("nan")]
        rows.append(row)
        noise.append([flat_noise(image, gt) for image in (sr, bicubic)])
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
        flat_noise=_mean([ours for ours, _ in noise]),
        bicubic_flat_noise=_mean([theirs for _, theirs in noise]),
    )


def _mean(values: list[float | None]) -> float | None:
    """Return the mean of the values that are there; None if there are none."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def peak_memory_mib() -> float:
    """Return the largest resident memory of this process so far, in MiB."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / 1024**2
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, else KiB
    return peak / (1024**2 if sys.platform == "darwin" else 1024)


def table(metrics: list[Metrics]) -> str:
    """Return the metrics as a Markdown table, with bicubic's in parentheses.

    The column of flat noise is left out if it was not measured.
    """
    noise = any(m.flat_noise is not None for m in metrics)
    heads = ["test set", "scale", "PSNR-Y (bicubic)", "SSIM-Y (bicubic)", "LPIPS (bicubic)"]
    heads += [*(["flat noise (bicubic)"] if noise else []), "s/MP", "peak MiB"]
    rows = [heads, ["---"] * len(heads)]
    for m in metrics:
        row = [
            f"{m.dataset} ({m.images})",
            f"x{m.scale}",
            f"{m.psnr_y:.2f} ({m.bicubic_psnr_y:.2f})",
            f"{m.ssim_y:.4f} ({m.bicubic_ssim_y:.4f})",
            "-" if m.lpips is None else f"{m.lpips:.3f} ({m.bicubic_lpips:.3f})",
        ]
        if noise:
            flat = m.flat_noise
            row.append("-" if flat is None else f"{flat:.2f} ({m.bicubic_flat_noise:.2f})")
        row.append(f"{m.seconds_per_megapixel:.2f}")
        row.append("-" if m.peak_memory_mib is None else f"{m.peak_memory_mib:.0f}")
        rows.append(row)
    return "\n".join(
        f"|{'|'.join(row)}|" if row[0] == "---" else f"| {' | '.join(row)} |" for row in rows
    )
