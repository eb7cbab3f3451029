"""Photographs with low-resolution images of their own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm.auto import tqdm

from hsr_hub.training.photos.folders import list_photos
from hsr_hub.training.photos.photo import NoPhotosError, Photo, image_size, read_rgb

logger = logging.getLogger(__name__)


class PairPhotos:
    """Photographs with low-resolution images of their own: folders with `HR/` and `LRx{scale}/`.

    Both files of a pair have the same name before the suffix, in subfolders of the same name;
    `0001x4` fits `0001` too. The original is cropped to `scale` times the size of the
    low-resolution image.

    Args:
        folders: Folders of pairs.
        crop_size: Smaller photographs are left out.
        scale: Factor between the sizes.
        progress: Show a progress bar while the headers are read.

    Raises:
        FileNotFoundError: A folder is missing.
        NoPhotosError: No pair can be used.
        ValueError: Sizes do not match, or a low-resolution image is missing; the message has names.
    """

    def __init__(
        self, folders: Sequence[Path], crop_size: int, scale: int, progress: bool = True
    ) -> None:
        self.name = f"--train_pairs_dir {' '.join(map(str, folders))}"
        self.scale = scale
        self.pairs: list[tuple[Path, Path]] = []
        pairs: list[tuple[Path, Path]] = []
        problems: list[str] = []
        for folder in folders:
            low_folder = folder / f"LRx{scale}"
            low = _by_name(low_folder, problems)
            for name, gt in _by_name(folder / "HR", problems).items():
                lq = low.get(name) or low.get(name.with_name(f"{name.name}x{scale}"))
                if lq is None:
                    problems.append(f"{gt.name} has no image in {low_folder}")
                else:
                    pairs.append((lq, gt))
        with ThreadPoolExecutor() as pool:
            bar = tqdm(pairs, desc="pairs", disable=not progress)
            for pair, found in zip(bar, pool.map(_pair_sizes, pairs), strict=True):
                if isinstance(found, str):
                    logger.warning("skipped %s: %s", pair[1], found)
                    continue
                (lq_width, lq_height), (width, height) = found
                rest = (width - lq_width * scale, height - lq_height * scale)
                if not all(0 <= left < scale for left in rest):
                    problems.append(
                        f"{pair[0].name} is {lq_width}x{lq_height}, but {pair[1].name} is "
                        f"{width}x{height}"
                    )
                elif min(lq_width, lq_height) * scale < crop_size:
                    logger.warning(
                        "skipped %s: %dx%d is smaller than the crop of %d",
                        pair[1],
                        width,
                        height,
                        crop_size,
                    )
                else:
                    self.pairs.append(pair)
        if problems:
            more = f"\n  and {len(problems) - 10} more" * (len(problems) > 10)
            raise ValueError(
                f"{len(problems)} pairs do not fit --scale {scale}; correct or remove them:\n  "
                + "\n  ".join(problems[:10])
                + more
            )
        if not self.pairs:
            raise NoPhotosError(
                f"no usable pair of at least {crop_size}x{crop_size} pixels in "
                + ", ".join(map(str, folders))
            )

    def __len__(self) -> int:
        return len(self.pairs)

    def label(self, index: int) -> str:
        """Return the path of the original."""
        return str(self.pairs[index][1])

    def read(self, index: int) -> Photo:
        """Decode a pair."""
        lq, gt = map(read_rgb, self.pairs[index])
        height, width = lq.shape[0] * self.scale, lq.shape[1] * self.scale
        if gt.shape[0] < height or gt.shape[1] < width:
            raise ValueError(f"it is smaller than {self.scale} times {self.pairs[index][0]}")
        return Photo(gt[:height, :width], lq)


def _by_name(folder: Path, problems: list[str]) -> dict[Path, Path]:
    """Return the images in a folder by their path in it without the suffix.

    Images that differ in nothing but the suffix are added to the problems.
    """
    found: dict[Path, Path] = {}
    for path in list_photos([folder]):
        name = path.relative_to(folder).with_suffix("")
        if name in found:
            problems.append(f"{path.name} and {found[name].name} in {path.parent} are both {name}")
        found[name] = path
    return found


def _pair_sizes(pair: tuple[Path, Path]) -> tuple[tuple[int, int], tuple[int, int]] | str:
    """Return the sizes of both images, or why one cannot be read."""
    try:
        return image_size(pair[0]), image_size(pair[1])
    except Exception as error:  # decoders raise many kinds
        return str(error)
