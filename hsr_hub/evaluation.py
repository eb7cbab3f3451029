"""Metrics by the field's protocol, and the runner over test sets.

Protocol: PSNR and SSIM on the Y channel (BT.601, 16-235) of 8-bit images, a border of `scale`
pixels cropped; SSIM with an 11x11 Gaussian window of sigma 1.5. Grey pictures are measured as RGB.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import psutil
from PIL import Image
from tqdm.auto import tqdm

from hsr_hub.image_io import read_image, to_rgb
from hsr_hub.lpips import LpipsSqueeze

if TYPE_CHECKING:
    from hsr_hub.modeling import HSRNet


def find_pairs(folder: Path, scale: int) -> list[tuple[Path | None, Path]]:
    """Low-resolution and ground-truth files of a test set, by name.

    `folder` holds `HR/` and `LRx{scale}/`; `HRx{scale}/` is preferred to `HR/` where both are
    there. Without an LR folder the first of each pair is None: `read_pair` then makes it.

    Raises:
        FileNotFoundError: No ground truth, or one without its low-resolution picture.
    """
    gt_folder = next((d for d in (folder / f"HRx{scale}", folder / "HR") if d.is_dir()), None)
    if gt_folder is None:
        raise FileNotFoundError(f"{folder} holds no HR/ (nor HRx{scale}/) folder of originals")
    gt_paths = sorted(
        p for p in gt_folder.iterdir() if p.suffix.lower() in {".png", ".bmp", ".tif"}
    )
    if not gt_paths:
        raise FileNotFoundError(f"{gt_folder} holds no .png, .bmp or .tif picture")
    lq_folder = folder / f"LRx{scale}"
    if not lq_folder.is_dir():
        return [(None, gt) for gt in gt_paths]
    for gt in gt_paths:
        if not (lq_folder / gt.name).is_file():
            raise FileNotFoundError(f"{lq_folder} holds no {gt.name}, which {gt_folder} has")
    return [(lq_folder / gt.name, gt) for gt in gt_paths]


def read_pair(lq_path: Path | None, gt_path: Path, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Both pictures as (H,W,3) uint8, the ground truth cropped to `scale` times the other's size.

    Raises:
        ValueError: The sizes do not belong together; the message names the file.
    """
    gt = to_rgb(read_image(gt_path))
    if lq_path is None:
        width, height = gt.width // scale, gt.height // scale
        gt = gt.crop((0, 0, width * scale, height * scale))
        lq = gt.resize((width, height), Image.Resampling.BICUBIC)
    else:
        lq = to_rgb(read_image(lq_path))
        width, height = lq.width * scale, lq.height * scale
        if not (0 <= gt.width - width < scale and 0 <= gt.height - height < scale):
            raise ValueError(
                f"{lq_path} is {lq.width}x{lq.height}: at scale {scale} that does not fit "
                f"{gt_path} of {gt.width}x{gt.height}"
            )
        gt = gt.crop((0, 0, width, height))
    return np.array(lq), np.array(gt)


def luma(rgb: np.ndarray) -> np.ndarray:
    """(H,W,3) uint8 to (H,W) float64, BT.601 in its 16-235 range."""
    return 16 + rgb.astype(np.float64) @ (np.array([65.481, 128.553, 24.966]) / 255)


def psnr_y(sr: np.ndarray, gt: np.ndarray, border: int) -> float:
    """PSNR in dB between the Y channels of two (H,W,3) uint8 images, `border` pixels cropped."""
    inner = slice(border, -border or None)
    difference = luma(sr)[inner, inner] - luma(gt)[inner, inner]
    error = float(np.mean(difference**2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def ssim_y(sr: np.ndarray, gt: np.ndarray, border: int) -> float:
    """SSIM between the Y channels of two (H,W,3) uint8 images, `border` pixels cropped."""
    from skimage.metrics import structural_similarity

    inner = slice(border, -border or None)
    # truncate=3.5 (scikit-image's own) times sigma 1.5 gives the 11x11 window of the original.
    similarity = structural_similarity(
        luma(sr)[inner, inner],
        luma(gt)[inner, inner],
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return cast(float, similarity)


def consistency(sr: np.ndarray, lq: np.ndarray) -> float:
    """What a result keeps of the picture that was given: PSNR in dB, RGB, at the latter's size.

    Args:
        sr: (H*s,W*s,3) uint8; scaled down by antialiased bicubic (Pillow's).
        lq: (H,W,3) uint8.
    """
    size = (lq.shape[1], lq.shape[0])
    small = np.asarray(Image.fromarray(sr).resize(size, Image.Resampling.BICUBIC))
    error = float(np.mean((small.astype(np.float64) - lq) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def colour_drift(sr: np.ndarray, lq: np.ndarray) -> float:
    """How far a result's mean colour is from that of the picture that was given.

    Args:
        sr: (H*s,W*s,3) uint8.
        lq: (H,W,3) uint8; enlarged by bicubic (Pillow's).

    Returns:
        The largest of the three channels' differences, of 255.
    """
    size = (sr.shape[1], sr.shape[0])
    bicubic = np.asarray(Image.fromarray(lq).resize(size, Image.Resampling.BICUBIC))
    return float(np.abs(sr.mean(axis=(0, 1)) - bicubic.mean(axis=(0, 1))).max())


@dataclass
class Figures:
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
) -> Figures:
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
    return Figures(
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


def table(figures: list[Figures]) -> str:
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
