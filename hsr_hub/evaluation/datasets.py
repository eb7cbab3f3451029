"""Test sets: where they are, and their pairs of images."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from hsr_hub.images import read_pil, to_rgb


def data_root() -> Path:
    """The folder named by HSR_DATA, by default `../shared/data` beside the repository.

    It may be missing: whoever needs it says so, or makes small data of its own.
    """
    default = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
    return Path(os.environ.get("HSR_DATA") or default).resolve()


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
                f"{lq_path} is {lq.width}x{lq.height}: at scale {scale} that does not fit "
                f"{gt_path} of {gt.width}x{gt.height}"
            )
        gt = gt.crop((0, 0, width, height))
    return np.array(lq), np.array(gt)
