"""Photographs in folders."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm.auto import tqdm

from hsr_hub.images import describe_left_out, find_images
from hsr_hub.training.photos.photo import NoPhotosError, Photo, image_size, read_rgb

logger = logging.getLogger(__name__)


def list_photos(folders: Sequence[Path]) -> list[Path]:
    """Return the images in folders and their subfolders, sorted within each folder.

    Linked folders are searched too. The log says how many other files there are, by their suffix.

    Raises:
        FileNotFoundError: A folder is missing.
    """
    images: list[Path] = []
    left_out: Counter[str] = Counter()
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(f"training folder {folder} does not exist")
        found = find_images(folder, follow_links=True)
        images += found.images
        left_out += found.left_out
    if left_out:
        names = ", ".join(map(str, folders))
        logger.info(
            "left out, because they are no images: %s in %s", describe_left_out(left_out), names
        )
    return images


class FolderPhotos:
    """The photographs in folders and their subfolders.

    Only the headers of the files are read at the start. Files that cannot be used are named in the
    log and left out.

    Args:
        folders: Folders of photographs.
        crop_size: Smaller photographs are left out.
        progress: Show a progress bar while the headers are read.

    Raises:
        FileNotFoundError: A folder is missing.
        NoPhotosError: No file can be used.
    """

    def __init__(self, folders: Sequence[Path], crop_size: int, progress: bool = True) -> None:
        self.name = f"--train_data_dir {' '.join(map(str, folders))}"
        self.paths: list[Path] = []
        paths = list_photos(folders)

        def problem(path: Path) -> str:
            try:
                width, height = image_size(path)
            except Exception as error:  # decoders raise many kinds
                return str(error)
            small = min(height, width) < crop_size
            return f"{width}x{height} is smaller than the crop of {crop_size}" if small else ""

        with ThreadPoolExecutor() as pool:
            bar = tqdm(paths, desc="photos", disable=not progress)
            for path, reason in zip(bar, pool.map(problem, paths), strict=True):
                if reason:
                    logger.warning("skipped %s: %s", path, reason)
                else:
                    self.paths.append(path)
        if not self.paths:
            raise NoPhotosError(
                f"no usable photo of at least {crop_size}x{crop_size} pixels in "
                + ", ".join(map(str, folders))
            )

    def __len__(self) -> int:
        return len(self.paths)

    def label(self, index: int) -> str:
        """Return the path."""
        return str(self.paths[index])

    def read(self, index: int) -> Photo:
        """Decode a photograph."""
        return Photo(read_rgb(self.paths[index]))
