"""Training photographs in, aligned crops of every level out.

A sample is a pure function of (seed, index). Whatever the number of processes, workers or resumes,
sample 1234 of a run is the same crop, and no two processes see the same one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset
from tqdm.auto import tqdm

from hsr_hub.training.degradations import degrade
from hsr_hub.training.photos import NoPhotosError, Photo, Photos, StreamPhotos

logger = logging.getLogger(__name__)

LQ_MARGIN = 4
"""Pixels of the low-resolution image around a crop that its resizing kernel may read.

Antialiased bicubic reads two low-resolution pixels on each side. With the margin, a crop's labels
are those of the whole photo, cropped, instead of those of a photo that ends at the crop.
"""


@dataclass(frozen=True)
class Cropper:
    """Cuts random crops out of photographs, flips and rotates them.

    Args:
        crop_size: Side of the ground-truth crop in pixels; a multiple of `scale`.
        scale: Factor of the network.
        seed: Seed of every random choice.
        degradation: "bicubic": the low-resolution image is the x1 label, made on the device with
            the others. "real": made here, by `degradations.degrade`. Pairs have their own images.

    Raises:
        ValueError: `crop_size` does not fit `scale`.
    """

    crop_size: int
    scale: int
    seed: int = 0
    degradation: str = "bicubic"

    def __post_init__(self) -> None:
        if self.crop_size % self.scale:
            raise ValueError(f"crop_size {self.crop_size} is not a multiple of scale {self.scale}")

    def cut(self, gt: Tensor, lq: Tensor | None, index: int) -> dict[str, Tensor]:
        """Return a crop that depends on the photo, the seed and the index alone.

        Args:
            gt: (H,W,3) uint8.
            lq: (H/scale,W/scale,3) uint8, if the photo has a low-resolution image.
            index: Index of the sample.

        Returns:
            `gt`, (3,C+2*m,C+2*m) uint8 with C = `crop_size` and m = `margin(scale)`; and unless the
            low-resolution image is the x1 label also `lq`, (3,C/scale,C/scale) uint8.
        """
        rng = np.random.default_rng((self.seed, 1, index))
        side, around = self.crop_size, margin(self.scale)
        step = 1 if lq is None else self.scale  # crops of a pair begin at whole pixels of both
        height, width = gt.shape[:2]
        top = step * int(rng.integers((height - side) // step + 1))
        left = step * int(rng.integers((width - side) // step + 1))
        rows = _mirrored(top - around, top + side + around, height)
        columns = _mirrored(left - around, left + side + around, width)
        mirror, turns = bool(rng.integers(2)), int(rng.integers(4))

        def turned(crop: Tensor) -> Tensor:
            return (crop.flip(1) if mirror else crop).rot90(turns)

        crop = turned(gt[rows.to(gt.device)[:, None], columns.to(gt.device)])
        sample = {"gt": crop.permute(2, 0, 1).contiguous()}
        if lq is not None:
            y, x, small = top // step, left // step, side // step
            low = turned(lq[y : y + small, x : x + small])
            sample["lq"] = low.permute(2, 0, 1).contiguous()
        elif self.degradation == "real":
            low = torch.from_numpy(degrade(crop.cpu().numpy(), self.scale, rng).copy())
            inner = slice(LQ_MARGIN, -LQ_MARGIN)
            sample["lq"] = low[inner, inner].permute(2, 0, 1).contiguous()
        return sample


class PhotoCrops(Dataset[dict[str, Tensor]]):
    """Random crops of photographs, with a margin for the label pyramid; see `Cropper.cut`.

    Every photo is visited once per epoch, in an order that depends on the epoch. A photo that turns
    out to be damaged or too small when it is needed is named in the log, and the next one of the
    epoch takes its place.

    Args:
        photos: The photographs.
        cropper: Cuts the crops.
        num_samples: Length of the run in samples.
        first_index: Sample to begin with, where an interrupted run stopped.
        cache_on: Keep every decoded photo as uint8 on this device ("cpu" is the main memory).
        progress: Show a progress bar while the photos are decoded for the cache.
    """

    def __init__(
        self,
        photos: Photos,
        cropper: Cropper,
        *,
        num_samples: int,
        first_index: int = 0,
        cache_on: str | torch.device | None = None,
        progress: bool = True,
    ) -> None:
        self.photos = photos
        self.cropper = cropper
        self.num_samples = num_samples
        self.first_index = first_index
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0))
        self._damaged: set[int] = set()
        self._cache: list[Decoded | None] | None = None
        if cache_on is not None:
            device = torch.device(cache_on)
            with ThreadPoolExecutor() as pool:
                decoded = pool.map(self._decode, range(len(photos)))
                bar = tqdm(decoded, total=len(photos), desc="decoding", disable=not progress)
                self._cache = [one if one is None else one.to(device) for one in bar]

    def _decode(self, photo: int) -> Decoded | None:
        """Return a photo; None, after a warning, if it is damaged or too small."""
        try:
            decoded = Decoded.from_photo(self.photos.read(photo))
            if min(decoded.gt.shape[:2]) < self.cropper.crop_size:
                raise ValueError(f"smaller than the crop of {self.cropper.crop_size}")
        except Exception as error:  # decoders raise many kinds
            self._damaged.add(photo)
            logger.warning(
                "skipped %s, which is replaced by the next photo: %s",
                self.photos.label(photo),
                error,
            )
            return None
        return decoded

    def _photo(self, photo: int) -> Decoded | None:
        if self._cache is not None:
            return self._cache[photo]
        return None if photo in self._damaged else self._decode(photo)

    def __len__(self) -> int:
        return max(0, self.num_samples - self.first_index)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        index += self.first_index
        return self.cropper.cut(*self._draw(*divmod(index, len(self.photos))), index)

    def _draw(self, epoch: int, position: int) -> Decoded:
        """Return the photo at a position of an epoch's order, or the next that is not damaged."""
        if self._order[0] != epoch:
            rng = np.random.default_rng((self.cropper.seed, 0, epoch))
            self._order = (epoch, rng.permutation(len(self.photos)))
        for photo in np.roll(self._order[1], -position).tolist():
            decoded = self._photo(photo)
            if decoded is not None:
                return decoded
        side = self.cropper.crop_size
        raise NoPhotosError(
            f"{self.photos.name}: no photo of at least {side}x{side} pixels can be decoded"
        )


class StreamCrops(IterableDataset[dict[str, Tensor]]):
    """Random crops of a stream of photographs: one of each photo and pass.

    Args:
        photos: The stream.
        cropper: Cuts the crops.
        num_samples: Length of the run in samples.
        first_index: Sample to begin with, where an interrupted run stopped. The stream begins at
            its start in an order of its own.
    """

    def __init__(
        self, photos: StreamPhotos, cropper: Cropper, *, num_samples: int, first_index: int = 0
    ) -> None:
        self.photos = photos
        self.cropper = cropper
        self.indices = range(first_index, num_samples)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        order = np.random.default_rng((self.cropper.seed, 0, self.indices.start))
        stream = self.photos.endless(int(order.integers(2**31)), self.cropper.crop_size)
        for index, photo in zip(self.indices, stream, strict=False):
            yield self.cropper.cut(*Decoded.from_photo(photo), index)


class Decoded(NamedTuple):
    """A photograph as tensors; see `Photo`."""

    gt: Tensor
    lq: Tensor | None

    @classmethod
    def from_photo(cls, photo: Photo) -> Decoded:
        """Return a photo as tensors that share its memory."""
        gt, lq = photo
        return cls(torch.from_numpy(gt), None if lq is None else torch.from_numpy(lq))

    def to(self, device: torch.device) -> Decoded:
        """Return the photo on a device."""
        return Decoded(self.gt.to(device), None if self.lq is None else self.lq.to(device))


def exit_without_photos(
    batches: Iterable[dict[str, Tensor]],
) -> Iterator[dict[str, Tensor]]:
    """Yield the batches, and end the program if no photo can be decoded."""
    try:
        yield from batches
    except NoPhotosError as error:
        # An error from a data loader's worker has its traceback in the message.
        raise SystemExit(str(error).splitlines()[-1]) from error


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
