"""What a validation measures and shows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hsr_hub.evaluation import LpipsSqueeze, find_pairs, flat_noise, psnr_y, read_pair, ssim_y
from hsr_hub.model import HSRNet
from hsr_hub.training.data import label_pyramid, quantise
from hsr_hub.training.losses import LevelPairs

GRID_ROWS = 4
GRID_SIDE = 192
"""Ground-truth pixels of a square in the picture grid."""

LevelLoss = Callable[[LevelPairs], dict[str, Tensor]]


@dataclass
class Validation:
    """Metrics by log key, and a grid of crops: LR, bicubic, SR, HR."""

    metrics: dict[str, float] = field(default_factory=dict)
    grid: Image.Image | None = None


@torch.no_grad()
def validate(
    net: HSRNet,
    folders: Sequence[Path],
    device: torch.device,
    *,
    losses: LevelLoss,
    lpips: LpipsSqueeze | None = None,
) -> Validation:
    """Measure a network on folders with HR/ and LRx{scale}/.

    Args:
        net: The network, in eval mode, on the device.
        folders: As `find_pairs` takes them.
        device: Where to compute.
        losses: The generator's weighted losses by name, of all levels of a picture; their sum is
            L_G.
        lpips: The metric, where its weights are at hand.

    Returns:
        `val/psnr`, `val/ssim`, `val/lpips` and `val/flat_noise` (means over the folders),
        `val/psnr/FOLDER`, and `val/loss_g` with its terms, means over all images.
    """
    by_folder: list[list[float]] = []
    terms: dict[str, list[float]] = {}
    rows: list[list[Image.Image]] = []
    for folder in folders:
        rows_of_folder = []
        for lq_path, gt_path in find_pairs(folder, net.scale):
            lq, gt = read_pair(lq_path, gt_path, net.scale)
            sr = net(_tensor(lq, device))
            image = (quantise(sr[-1])[0] * 255).round().byte().permute(1, 2, 0).cpu().numpy()
            row = [psnr_y(image, gt, net.scale), ssim_y(image, gt, net.scale)]
            row += [lpips.distance(image, gt) if lpips else math.nan]
            noise = flat_noise(image, gt)
            rows_of_folder.append([*row, math.nan if noise is None else noise])
            labels = label_pyramid(_tensor(gt, device), net.levels)
            for name, value in losses(LevelPairs(sr, labels)).items():
                terms.setdefault(name, []).append(float(value))
            if len(rows) < GRID_ROWS:
                rows.append(_grid_row(lq, image, gt))
        by_folder.append(_means(rows_of_folder))
    if not by_folder:
        return Validation()

    means = _means(by_folder)
    metrics = {"val/psnr": means[0], "val/ssim": means[1]}
    if lpips:
        metrics["val/lpips"] = means[2]
    if not math.isnan(means[3]):
        metrics["val/flat_noise"] = means[3]
    for name, values in zip(_names(folders), by_folder, strict=True):
        metrics[f"val/psnr/{name}"] = values[0]
    loss_terms = {f"val/loss_g/{name}": float(np.mean(v)) for name, v in terms.items()}
    metrics |= {"val/loss_g": sum(loss_terms.values()), **loss_terms}
    return Validation(metrics, _grid(rows))


def _means(rows: list[list[float]]) -> list[float]:
    """Return the mean of each column over the rows in which it is a number."""
    columns = ([v for v in column if not math.isnan(v)] for column in zip(*rows, strict=True))
    return [float(np.mean(values)) if values else math.nan for values in columns]


def log_grid(trackers: Sequence[Any], grid: Image.Image, step: int) -> None:
    """Give the picture grid to those of Accelerate's trackers that take pictures."""
    image, title = np.asarray(grid), "LR, bicubic, SR, HR"
    for tracker in trackers:
        if tracker.name == "tensorboard":
            tracker.log_images({title: image[None]}, step=step, dataformats="NHWC")
        elif tracker.name in {"wandb", "swanlab"}:
            tracker.log_images({title: [image]}, step=step)
        elif hasattr(tracker, "log_images"):  # aim, clearml
            tracker.log_images({title: image}, step=step)


def check_pairs(folders: Sequence[Path], scale: int) -> int:
    """Read every pair once, so that none spoils a validation hours later; their number.

    Raises:
        FileNotFoundError, ValueError: As `find_pairs` and `read_pair`.
        ModuleNotFoundError: scikit-image, which validation needs, is not installed.
    """
    import skimage  # noqa: F401

    pairs = [pair for folder in folders for pair in find_pairs(folder, scale)]
    for lq_path, gt_path in pairs:
        read_pair(lq_path, gt_path, scale)
    return len(pairs)


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' names, with their parents' where two are called the same."""
    paths = [folder.resolve() for folder in folders]
    names = [path.name for path in paths]
    return [p.name if names.count(p.name) == 1 else f"{p.parent.name}/{p.name}" for p in paths]


def _tensor(array: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(array).to(device).permute(2, 0, 1)[None].float() / 255


def _grid_row(lq: np.ndarray, sr: np.ndarray, gt: np.ndarray) -> list[Image.Image]:
    height, width = gt.shape[:2]
    top, left = max(0, (height - GRID_SIDE) // 2), max(0, (width - GRID_SIDE) // 2)
    box = (left, top, left + GRID_SIDE, top + GRID_SIDE)
    small = Image.fromarray(lq)
    pictures = [
        small.resize((width, height), Image.Resampling.NEAREST),
        small.resize((width, height), Image.Resampling.BICUBIC),
        Image.fromarray(sr),
        Image.fromarray(gt),
    ]
    return [picture.crop(box) for picture in pictures]


def _grid(rows: list[list[Image.Image]]) -> Image.Image:
    grid = Image.new("RGB", (4 * GRID_SIDE, len(rows) * GRID_SIDE))
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            grid.paste(picture, (x * GRID_SIDE, y * GRID_SIDE))
    return grid
