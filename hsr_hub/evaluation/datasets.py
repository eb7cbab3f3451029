"""Find test sets and read their pairs of images."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from hsr_hub.images import read_pil, to_rgb


def data_root() -> Path:
    """Return the folder that HSR_DATA names, by default `../shared/data` next to the repository.

    The folder may be missing.
    """
    default = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
    return Path(os.environ.get("HSR_DATA") or default).resolve()


def find_pairs(folder: Path, scale: int) -> list[tuple[Path | None, Path]]:
    """Return the low-resolution and ground-truth files of a test set, sorted by name.

    The folder holds `HR/` (or `HRx{scale}/`, which comes first) and `LRx{scale}/`. Without the
    latter, the first file of each pair is None, and `read_pair` makes the image.

    Raises:
        FileNotFoundError: If the folder or the ground truth is missing, or a low-resolution image.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    gt_folder = next((d for d in (folder / f"HRx{scale}", folder / "HR") if d.is_dir()), None)
    if gt_folder is None:
        raise FileNotFoundError(f"{folder} has no folder HR/ or HRx{scale}/ with the originals")
    gt_paths = sorted(
        p for p in gt_folder.iterdir() if p.suffix.lower() in {".png", ".bmp", ".tif"}
    )
    if not gt_paths:
        raise FileNotFoundError(f"{gt_folder} has no .png, .bmp or .tif image")
    lq_folder = folder / f"LRx{scale}"
    if not lq_folder.is_dir():
        return [(None, gt) for gt in gt_paths]
    for gt in gt_paths:
        if not (lq_folder / gt.name).is_file():
            raise FileNotFoundError(f"{lq_folder} has no {gt.name}, but {gt_folder} has one")
    return [(lq_folder / gt.name, gt) for gt in gt_paths]


def read_pair(lq_path: Path | None, gt_path: Path, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """Return both images as (H,W,3) uint8.

    The ground truth is cropped to `scale` times the size of the low-resolution image. If `lq_path`
    is None, that image is made by Pillow's antialiased bicubic.

    Raises:
        ValueError: If the sizes do not match.
    """
    gt = to_rgb(read_pil(gt_path))
    if lq_path is None:
        width, height = gt.width // scale, gt.height // scale
        gt = gt.crop((0, 0, width * scale, height * scale))
        lq = gt.resize((width, height), Image.Resampling.BICUBIC)
    else:
        lq = to_rgb(read_pil(lq_path))
        width, height = lq.width * scale, lq.height * scale
        if not (0 <= gt.width - width < scale and 0 <= gt.height - height < scale):
            raise ValueError(
                f"{lq_path} is {lq.width}x{lq.height}: at scale {scale} that does not match "
                f"{gt_path} of {gt.width}x{gt.height}"
            )
        gt = gt.crop((0, 0, width, height))
    return np.array(lq), np.array(gt)
