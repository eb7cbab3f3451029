"""Validation: metrics on test sets, and a grid of images to look at."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hsr_hub.evaluation import LpipsSqueeze, find_pairs, flat_noise, psnr_y, read_pair, ssim_y
from hsr_hub.model import HSRNet
from hsr_hub.training.data import label_pyramid, quantise
from hsr_hub.training.levels import LevelPairs
from hsr_hub.training.session import exit_on_error

if TYPE_CHECKING:
    from accelerate import Accelerator

GRID_ROWS = 4
GRID_SIDE = 192
"""Side in ground-truth pixels of a square in the grid."""

PixelTerms = Callable[[LevelPairs], dict[str, Tensor]]


@dataclass
class Validation:
    """Metrics by log key, and a grid of crops: LR, bicubic, SR, HR."""

    metrics: dict[str, float] = field(default_factory=dict)
    grid: Image.Image | None = None


class _Measured(NamedTuple):
    """One pair's PSNR, SSIM, LPIPS and flat noise, its loss terms and its row of the grid."""

    pair: int
    folder: int
    values: list[float]
    terms: dict[str, float]
    row: list[Image.Image] | None


@torch.no_grad()
def validate(
    net: HSRNet,
    folders: Sequence[Path],
    device: torch.device,
    *,
    losses: PixelTerms,
    lpips: LpipsSqueeze | None = None,
    accelerator: Accelerator | None = None,
) -> Validation:
    """Measure a network on folders with HR/ and LRx{scale}/.

    Args:
        net: The network, in eval mode, on the device.
        folders: As `find_pairs` takes them.
        device: Where to compute.
        losses: The weighted loss terms by name, of all levels of an image.
        lpips: The metric, if its weights are at hand.
        accelerator: Its processes share the pairs, and all of them get the whole result.

    Returns:
        `val/psnr`, `val/ssim`, `val/lpips` and `val/flat_noise` (means over the folders),
        `val/psnr/FOLDER`, and the terms `val/loss_g/NAME` with their sum `val/loss_g` (means over
        all images).
    """
    pairs = [
        (number, *pair)
        for number, folder in enumerate(folders)
        for pair in find_pairs(folder, net.scale)
    ]
    share = slice(None)
    if accelerator is not None:
        share = slice(accelerator.process_index, None, accelerator.num_processes)
    measured: list[_Measured] = []
    for index, (number, lq_path, gt_path) in list(enumerate(pairs))[share]:
        lq, gt = read_pair(lq_path, gt_path, net.scale)
        sr = net(_tensor(lq, device))
        image = (quantise(sr[-1])[0] * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        noise = flat_noise(image, gt)
        values = [
            psnr_y(image, gt, net.scale),
            ssim_y(image, gt, net.scale),
            lpips.distance(image, gt) if lpips else math.nan,
            math.nan if noise is None else noise,
        ]
        labels = label_pyramid(_tensor(gt, device), net.levels)
        terms = {name: float(value) for name, value in losses(LevelPairs(sr, labels)).items()}
        row = _grid_row(lq, image, gt) if index < GRID_ROWS else None
        measured.append(_Measured(index, number, values, terms, row))
    if accelerator is not None and accelerator.num_processes > 1:
        from accelerate.utils import gather_object

        measured = gather_object(measured)
    if not measured:
        return Validation()
    # In the order of the pairs, so that sums do not depend on the number of processes.
    measured.sort(key=lambda one: one.pair)
    return _summary(measured, folders)


def _summary(measured: Sequence[_Measured], folders: Sequence[Path]) -> Validation:
    by_folder = [
        _means([one.values for one in measured if one.folder == number])
        for number in range(len(folders))
    ]
    psnr, ssim, lpips, noise = _means(by_folder)
    metrics = {"val/psnr": psnr, "val/ssim": ssim}
    metrics |= {} if math.isnan(lpips) else {"val/lpips": lpips}
    metrics |= {} if math.isnan(noise) else {"val/flat_noise": noise}
    for name, values in zip(_names(folders), by_folder, strict=True):
        metrics[f"val/psnr/{name}"] = values[0]
    terms = {
        f"val/loss_g/{name}": float(np.mean([one.terms[name] for one in measured]))
        for name in measured[0].terms
    }
    metrics |= {"val/loss_g": sum(terms.values()), **terms}
    rows = [one.row for one in measured if one.row]
    return Validation(metrics, _grid(rows))


def _means(rows: list[list[float]]) -> list[float]:
    """Return the mean of each column over the rows in which it is a number."""
    columns = ([v for v in column if not math.isnan(v)] for column in zip(*rows, strict=True))
    return [float(np.mean(values)) if values else math.nan for values in columns]


def log_grid(trackers: Sequence[Any], grid: Image.Image, step: int) -> None:
    """Send the grid to those of Accelerate's trackers that take images."""
    image, title = np.asarray(grid), "LR, bicubic, SR, HR"
    for tracker in trackers:
        if tracker.name == "tensorboard":
            tracker.log_images({title: image[None]}, step=step, dataformats="NHWC")
        elif tracker.name in {"wandb", "swanlab"}:
            tracker.log_images({title: [image]}, step=step)
        elif hasattr(tracker, "log_images"):  # aim, clearml
            tracker.log_images({title: image}, step=step)


def prepare_validation(
    args: Namespace, accelerator: Accelerator
) -> tuple[LpipsSqueeze | None, int]:
    """Return LPIPS, if its weights are given, and the number of validation pairs."""
    pairs = 0
    if args.validation_data_dir:
        # One process decodes for all; the others end with it if a file is damaged.
        decode = accelerator.is_main_process
        with exit_on_error("--validation_data_dir"):
            pairs = check_pairs(args.validation_data_dir, args.scale, decode=decode)
    lpips = None
    if args.metric_weights:
        with exit_on_error("--metric_weights"):
            lpips = LpipsSqueeze(args.metric_weights).to(accelerator.device)
    return lpips, pairs


def check_pairs(folders: Sequence[Path], scale: int, *, decode: bool = True) -> int:
    """Return the number of pairs, after reading each once, so that none fails hours later.

    Args:
        folders: As `find_pairs` takes them.
        scale: Factor between the sizes.
        decode: Read the files; otherwise they are only listed.

    Raises:
        FileNotFoundError, ValueError: As `find_pairs` and `read_pair`.
        ModuleNotFoundError: scikit-image is not installed.
    """
    import skimage  # noqa: F401

    pairs = [pair for folder in folders for pair in find_pairs(folder, scale)]
    for lq_path, gt_path in pairs if decode else ():
        read_pair(lq_path, gt_path, scale)
    return len(pairs)


def _names(folders: Sequence[Path]) -> list[str]:
    """Return the folders' names, preceded by their parents' where two are the same."""
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
    images = [
        small.resize((width, height), Image.Resampling.NEAREST),
        small.resize((width, height), Image.Resampling.BICUBIC),
        Image.fromarray(sr),
        Image.fromarray(gt),
    ]
    return [image.crop(box) for image in images]


def _grid(rows: list[list[Image.Image]]) -> Image.Image:
    grid = Image.new("RGB", (4 * GRID_SIDE, len(rows) * GRID_SIDE))
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            grid.paste(image, (x * GRID_SIDE, y * GRID_SIDE))
    return grid
