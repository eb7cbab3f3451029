"""Photographs in, aligned crops at every level out.

A sample is a pure function of (seed, index): whatever the number of processes, workers or resumes,
sample 1234 of a run is the same crop, and no two ranks ever see the same one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from hsr_hub.images import read_pil, to_rgb
from hsr_hub.training.degradations import degrade

logger = logging.getLogger(__name__)

IMAGE_SUFFIXES = {".avif", ".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}

LQ_MARGIN = 4
"""Pixels of the low-resolution image around a crop that its resizing kernel may read.

Antialiased bicubic reads two low-resolution pixels on each side. With the margin a crop's labels
are those of the whole photo cut out, instead of those of a photo that ends at the crop.
"""


def find_images(folders: Iterable[Path]) -> list[Path]:
    """All image files in the folders and below them, sorted within each folder.

    Raises:
        FileNotFoundError: A folder is missing.
    """
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(f"training folder {folder} does not exist")
        found += sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    return found


def read_rgb(path: Path) -> np.ndarray:
    """The picture as (H,W,3) uint8."""
    return np.array(to_rgb(read_pil(path)))


class PhotoCrops(Dataset[dict[str, Tensor]]):
    """Random crops of photographs, flipped and turned, with a margin for the label pyramid.

    Item `i` is a dict: `gt`, (3,C+2*m,C+2*m) uint8 with C = `crop_size` and m = `margin(scale)`;
    and with the degradation "real" also `lq`, (3,C/scale,C/scale) uint8, without a margin. Photos
    are visited once per epoch in an order of that epoch's own.

    Args:
        folders: Folders of photographs, searched recursively; every format that Pillow reads.
        crop_size: Side of the ground-truth crop in pixels; a multiple of `scale`.
        scale: Factor of the network.
        num_samples: Length of the run in samples.
        seed: Seed of every random choice.
        first_index: Sample to begin with: where an interrupted run stopped.
        degradation: "bicubic": the low-resolution image is the x1 label, made on the device with
            the others. "real": made here, by `degradations.degrade`.
        cache_on: Keep every decoded photo as uint8 on this device ("cpu" is the main memory).
        progress: Show a progress bar while the files are checked.

    Raises:
        FileNotFoundError: A folder is missing.
        ValueError: `crop_size` does not fit `scale`, or no usable photo was found.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        crop_size: int,
        scale: int,
        num_samples: int,
        seed: int = 0,
        first_index: int = 0,
        degradation: str = "bicubic",
        cache_on: str | torch.device | None = None,
        progress: bool = True,
    ) -> None:
        if crop_size % scale:
            raise ValueError(f"crop_size {crop_size} is not a multiple of scale {scale}")
        self.crop_size = crop_size
        self.margin = margin(scale)
        self.num_samples = num_samples
        self.seed = seed
        self.first_index = first_index
        self.scale = scale
        self.degradation = degradation
        self.device = torch.device(cache_on or "cpu")
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0))

        # Every file is decoded once before the first step: a broken one is found now, by name, and
        # not hours later.
        paths = find_images(folders)
        self.paths: list[Path] = []
        self.images: list[Tensor] | None = None if cache_on is None else []
        skipped: list[str] = []
        with ThreadPoolExecutor() as pool:
            decoded = pool.map(self._try_read, paths)
            for path, (image, problem) in tqdm(
                zip(paths, decoded, strict=True),
                total=len(paths),
                desc="photos",
                disable=not progress,
            ):
                if image is None:
                    skipped.append(f"{path}: {problem}")
                    continue
                self.paths.append(path)
                if self.images is not None:
                    self.images.append(torch.tensor(image, device=self.device))
        for line in skipped:
            logger.warning("skipped %s", line)
        if not self.paths:
            raise ValueError(
                f"no usable photo of at least {crop_size}x{crop_size} pixels in "
                + ", ".join(str(f) for f in folders)
            )

    def _try_read(self, path: Path) -> tuple[np.ndarray | None, str]:
        try:
            image = read_rgb(path)
        except Exception as error:  # whatever a decoder raises: the file cannot be used
            return None, str(error)
        height, width = image.shape[:2]
        if min(height, width) < self.crop_size:
            return None, f"{width}x{height} is smaller than the crop of {self.crop_size}"
        return image, ""

    def __len__(self) -> int:
        return max(0, self.num_samples - self.first_index)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        index += self.first_index
        epoch, position = divmod(index, len(self.paths))
        if self._order[0] != epoch:
            order = np.random.default_rng((self.seed, 0, epoch)).permutation(len(self.paths))
            self._order = (epoch, order)
        photo = int(self._order[1][position])
        if self.images is not None:
            image = self.images[photo]
        else:
            image = torch.from_numpy(read_rgb(self.paths[photo]))

        rng = np.random.default_rng((self.seed, 1, index))
        height, width = image.shape[:2]
        top = int(rng.integers(height - self.crop_size + 1))
        left = int(rng.integers(width - self.crop_size + 1))
        rows = _mirrored(top - self.margin, top + self.crop_size + self.margin, height)
        columns = _mirrored(left - self.margin, left + self.crop_size + self.margin, width)
        crop = image[rows.to(self.device)[:, None], columns.to(self.device)]
        if rng.integers(2):
            crop = crop.flip(1)
        crop = crop.rot90(int(rng.integers(4)))
        sample = {"gt": crop.permute(2, 0, 1).contiguous()}
        if self.degradation == "real":
            lq = torch.from_numpy(degrade(crop.cpu().numpy(), self.scale, rng).copy())
            inner = slice(LQ_MARGIN, -LQ_MARGIN)
            sample["lq"] = lq[inner, inner].permute(2, 0, 1).contiguous()
        return sample


def margin(scale: int) -> int:
    """Ground-truth pixels around a crop; whole pixels at every level."""
    return LQ_MARGIN * scale


def _mirrored(start: int, stop: int, length: int) -> Tensor:
    """Indices from start to stop, folded back at the picture's borders (the edge pixel twice)."""
    folded = torch.arange(start, stop) % (2 * length)
    return torch.minimum(folded, 2 * length - 1 - folded)


def resize_antialiased(image: Tensor, size: tuple[int, int]) -> Tensor:
    """(B,C,H,W) float to (B,C,*size) by the antialiased bicubic of Pillow and MATLAB (a = -0.5)."""
    return F.interpolate(image, size, mode="bicubic", align_corners=False, antialias=True)


def label_pyramid(gt: Tensor, levels: Sequence[int]) -> list[Tensor]:
    """The labels of every level, low to high: the ground truth down-sampled, then itself.

    Args:
        gt: (B,3,H,W), float in [0, 1]; H and W multiples of the last level.
        levels: Ascending factors, the last of which is the ground truth's own.

    Returns:
        One (B,3,H*s/S,W*s/S) per level s, S the last.
    """
    height, width = gt.shape[-2:]
    last = levels[-1]
    if height % last or width % last:
        raise ValueError(f"ground truth of {width}x{height} is not a multiple of {last}")
    labels = [resize_antialiased(gt, (height * s // last, width * s // last)) for s in levels[:-1]]
    return [*labels, gt]


def crop_margin(labels: Sequence[Tensor], levels: Sequence[int]) -> list[Tensor]:
    """Each label without the margin that `PhotoCrops` puts around a crop."""
    return [
        label[..., LQ_MARGIN * s : -LQ_MARGIN * s, LQ_MARGIN * s : -LQ_MARGIN * s]
        for label, s in zip(labels, levels, strict=True)
    ]


def quantise(image: Tensor) -> Tensor:
    """Clamped to [0, 1] and rounded to 8 bits, as a picture in a file is."""
    return (image.clamp(0, 1) * 255).round() / 255
