"""Training photographs in, aligned crops of every level out.

A sample is a pure function of (seed, index). Whatever the number of processes, workers or resumes,
sample 1234 of a run is the same crop, and no two processes see the same one.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from hsr_hub.images import READ_SUFFIXES, read_pil, to_rgb
from hsr_hub.training.degradations import degrade

logger = logging.getLogger(__name__)

LQ_MARGIN = 4
"""Pixels of the low-resolution image around a crop that its resizing kernel may read.

Antialiased bicubic reads two low-resolution pixels on each side. With the margin, a crop's labels
are those of the whole photo, cropped, instead of those of a photo that ends at the crop.
"""


class NoPhotosError(ValueError):
    """No photo of the training folders can be decoded."""


def find_images(folders: Iterable[Path]) -> list[Path]:
    """Return all image files in folders and their subfolders, sorted within each folder.

    Links to folders are followed, and every folder is searched once, so loops end.

    Raises:
        FileNotFoundError: A folder is missing.
    """
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(f"training folder {folder} does not exist")
        inside: list[Path] = []
        searched: set[Path] = set()
        for root, subfolders, names in os.walk(folder, followlinks=True):
            target = Path(root).resolve()
            if target in searched:
                subfolders.clear()
                continue
            searched.add(target)
            subfolders.sort()
            inside += [Path(root, name) for name in names]
        found += sorted(p for p in inside if p.suffix.lower() in READ_SUFFIXES)
    return found


def read_rgb(path: Path) -> np.ndarray:
    """Return an image file as (H,W,3) uint8."""
    return np.array(to_rgb(read_pil(path)))


class PhotoCrops(Dataset[dict[str, Tensor]]):
    """Random crops of photographs, flipped and rotated, with a margin for the label pyramid.

    Item `i` is a dict: `gt`, (3,C+2*m,C+2*m) uint8 with C = `crop_size` and m = `margin(scale)`;
    and with the degradation "real" also `lq`, (3,C/scale,C/scale) uint8, without a margin. Every
    photo is visited once per epoch, in an order that depends on the epoch.

    Only the headers of the files are read at the start. A photo that turns out to be damaged when
    it is needed is named in the log, and the next one of the epoch takes its place.

    Args:
        folders: Folders of photographs, searched recursively.
        crop_size: Side of the ground-truth crop in pixels; a multiple of `scale`.
        scale: Factor of the network.
        num_samples: Length of the run in samples.
        seed: Seed of every random choice.
        first_index: Sample to begin with, where an interrupted run stopped.
        degradation: "bicubic": the low-resolution image is the x1 label, made on the device with
            the others. "real": made here, by `degradations.degrade`.
        cache_on: Keep every decoded photo as uint8 on this device ("cpu" is the main memory).
        progress: Show a progress bar while the files are read.

    Raises:
        FileNotFoundError: A folder is missing.
        ValueError: `crop_size` does not fit `scale`.
        NoPhotosError: No usable photo was found.
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
        self._damaged: set[int] = set()
        self.paths: list[Path] = []
        self._folders = ", ".join(map(str, folders))

        paths = find_images(folders)
        with ThreadPoolExecutor() as pool:
            problems = pool.map(self._header_problem, paths)
            bar = tqdm(paths, desc="photos", disable=not progress)
            for path, problem in zip(bar, problems, strict=True):
                if problem:
                    logger.warning("skipped %s: %s", path, problem)
                else:
                    self.paths.append(path)
        self._cache: list[Tensor | None] | None = None
        if cache_on is not None:
            with ThreadPoolExecutor() as pool:
                decoded = pool.map(self._decode, range(len(self.paths)))
                bar = tqdm(decoded, total=len(self.paths), desc="decoding", disable=not progress)
                self._cache = [image if image is None else image.to(self.device) for image in bar]
        if len(self._damaged) == len(self.paths):
            raise NoPhotosError(
                f"no usable photo of at least {crop_size}x{crop_size} pixels in {self._folders}"
            )

    def _header_problem(self, path: Path) -> str:
        """Return why a file cannot be used, by its header; empty if it can."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about sizes and metadata
                with Image.open(path) as image:
                    width, height = image.size
        except Exception as error:  # decoders raise many kinds
            return str(error)
        if min(height, width) < self.crop_size:
            return f"{width}x{height} is smaller than the crop of {self.crop_size}"
        return ""

    def _decode(self, photo: int) -> Tensor | None:
        """Return a photo as (H,W,3) uint8; None, after a warning, if it is damaged."""
        path = self.paths[photo]
        try:
            image = torch.from_numpy(read_rgb(path))
            if min(image.shape[:2]) < self.crop_size:
                raise ValueError(f"smaller than the crop of {self.crop_size}")
        except Exception as error:  # decoders raise many kinds
            self._damaged.add(photo)
            logger.warning("skipped %s, which is replaced by the next photo: %s", path, error)
            return None
        return image

    def _image(self, photo: int) -> Tensor | None:
        if self._cache is not None:
            return self._cache[photo]
        return None if photo in self._damaged else self._decode(photo)

    def __len__(self) -> int:
        return max(0, self.num_samples - self.first_index)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        index += self.first_index
        image = self._draw(*divmod(index, len(self.paths)))
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

    def _draw(self, epoch: int, position: int) -> Tensor:
        """Return the photo at a position of an epoch's order, or the next that is not damaged."""
        if self._order[0] != epoch:
            order = np.random.default_rng((self.seed, 0, epoch)).permutation(len(self.paths))
            self._order = (epoch, order)
        for photo in np.roll(self._order[1], -position).tolist():
            image = self._image(photo)
            if image is not None:
                return image
        raise NoPhotosError(f"no photo in {self._folders} can be decoded")


def exit_without_photos(
    batches: Iterable[dict[str, Tensor]],
) -> Iterator[dict[str, Tensor]]:
    """Yield the batches, and end the program if no photo can be decoded."""
    try:
        yield from batches
    except NoPhotosError as error:
        # An error from a data loader's worker has its traceback in the message.
        raise SystemExit(f"--train_data_dir: {str(error).splitlines()[-1]}") from error


def margin(scale: int) -> int:
    """Return the ground-truth pixels around a crop; they are whole pixels at every level."""
    return LQ_MARGIN * scale


def _mirrored(start: int, stop: int, length: int) -> Tensor:
    """Return indices from start to stop, mirrored at the borders, the edge pixel twice."""
    folded = torch.arange(start, stop) % (2 * length)
    return torch.minimum(folded, 2 * length - 1 - folded)


def resize_antialiased(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize (B,C,H,W) float to (B,C,*size) as Pillow and MATLAB do (bicubic, a = -0.5)."""
    return F.interpolate(image, size, mode="bicubic", align_corners=False, antialias=True)


def label_pyramid(gt: Tensor, levels: Sequence[int]) -> list[Tensor]:
    """Return the labels of every level: the ground truth down-sampled, and last itself.

    Args:
        gt: (B,3,H,W), float in [0, 1]; H and W multiples of the last level.
        levels: Ascending factors. The last one is that of the ground truth.

    Returns:
        One (B,3,H*s/S,W*s/S) per level s, low to high; S is the last level.

    Raises:
        ValueError: The size is not a multiple of the last level.
    """
    height, width = gt.shape[-2:]
    last = levels[-1]
    if height % last or width % last:
        raise ValueError(f"ground truth of {width}x{height} is not a multiple of {last}")
    labels = [resize_antialiased(gt, (height * s // last, width * s // last)) for s in levels[:-1]]
    return [*labels, gt]


def crop_margin(labels: Sequence[Tensor], levels: Sequence[int]) -> list[Tensor]:
    """Return the labels without the margin that `PhotoCrops` adds around a crop."""
    return [
        label[..., LQ_MARGIN * s : -LQ_MARGIN * s, LQ_MARGIN * s : -LQ_MARGIN * s]
        for label, s in zip(labels, levels, strict=True)
    ]


def quantise(image: Tensor) -> Tensor:
    """Return an image clamped to [0, 1] and rounded to 8 bits, as in a file."""
    return (image.clamp(0, 1) * 255).round() / 255
