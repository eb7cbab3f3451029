"""Photographs in data sets, on the Hub or in a folder that the datasets library loads."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hsr_hub.images import to_rgb
from hsr_hub.training.photos.photo import NoPhotosError, Photo, read_rgb

logger = logging.getLogger(__name__)

SHUFFLE_BUFFER = 256
"""Photos among which the next one of a stream is drawn."""


class DatasetPhotos:
    """The images in a column of a `datasets.Dataset`. Nothing is decoded before it is read."""

    def __init__(self, dataset: Any, column: str, name: str) -> None:
        self.name = name
        self._dataset = dataset
        self._column = column

    def __len__(self) -> int:
        return len(self._dataset)

    def label(self, index: int) -> str:
        """Return the name of the file, if the data set has one, and the row."""
        return row_label(self._dataset[index][self._column], index)

    def read(self, index: int) -> Photo:
        """Decode a row."""
        value = self._dataset[index][self._column]
        return Photo(read_value(value, row_label(value, index)))


class StreamPhotos:
    """The images in a column of a `datasets.IterableDataset`, read while training.

    They are shuffled within a buffer only, so a run cannot be repeated to the bit.
    """

    def __init__(self, dataset: Any, column: str, name: str) -> None:
        self.name = name
        self._dataset = dataset
        self._column = column

    def endless(self, seed: int, crop_size: int) -> Iterator[Photo]:
        """Yield photographs again and again, in another order each time.

        Raises:
            NoPhotosError: A whole pass yielded nothing.
        """
        shuffled = self._dataset.shuffle(seed=seed, buffer_size=SHUFFLE_BUFFER)
        epoch = 0
        while True:
            shuffled.set_epoch(epoch)
            empty = True
            for number, row in enumerate(shuffled):
                value = row[self._column]
                label = row_label(value, number)
                try:
                    photo = Photo(read_value(value, label))
                    if min(photo.gt.shape[:2]) < crop_size:
                        raise ValueError(f"smaller than the crop of {crop_size}")
                except Exception as error:  # decoders raise many kinds
                    if epoch == 0:
                        logger.warning("skipped %s: %s", label, error)
                    continue
                empty = False
                yield photo
            if empty:
                raise NoPhotosError(
                    f"{self.name}: no usable photo of at least {crop_size}x{crop_size} pixels"
                )
            epoch += 1


def row_label(value: dict[str, Any] | Image.Image | None, index: int) -> str:
    """Return the number of a row, and the name of its file if it has one, for messages."""
    if isinstance(value, Image.Image):
        path = getattr(value, "filename", None)
    else:
        path = (value or {}).get("path")
    return f"row {index}" + (f" ({Path(path).name})" if path else "")


def read_value(value: dict[str, Any] | Image.Image | None, label: str) -> np.ndarray:
    """Return the image in a row of an `Image(decode=False)` column as (H,W,3) uint8.

    Streams of single files hold decoded images in spite of that.
    """
    if value is None:
        raise ValueError("the row has no image")
    if isinstance(value, Image.Image):
        return np.array(to_rgb(value))
    if value.get("bytes") is not None:
        return read_rgb(io.BytesIO(value["bytes"]), label)
    if "://" in value["path"]:  # a stream of files on the Hub
        import fsspec

        with fsspec.open(value["path"], "rb") as file:
            return read_rgb(io.BytesIO(file.read()), label)  # pyright: ignore[reportAttributeAccessIssue]
    return read_rgb(Path(value["path"]))


def load_images(
    name: str,
    *,
    flag: str,
    config: str | None = None,
    split: str = "train",
    revision: str | None = None,
    column: str | None = None,
    streaming: bool = False,
) -> Any:
    """Return a data set of the Hub, or of a folder, with nothing but its column of images.

    The images are files: dicts of `bytes` and `path`.

    Raises:
        SystemExit: `datasets` is not installed, or the data set has no such configuration, split
            or column. The message names `flag` or the flag that is wrong.
    """
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"{flag} needs the library of Hugging Face data sets: pip install datasets"
        ) from error
    try:
        dataset: Any = datasets.load_dataset(
            name, config, split=split, revision=revision, streaming=streaming
        )
        if dataset.features is None:  # a stream of files, before its first row
            dataset = dataset._resolve_features()
        features = dataset.features
    except Exception as error:  # the library, the Hub and the network raise many kinds
        raise SystemExit(f"{flag} {name}: {error}") from error
    if column is None:
        images = [key for key, kind in features.items() if isinstance(kind, datasets.Image)]
        if not images:
            raise SystemExit(
                f"{flag} {name} has no column of images; its columns are {', '.join(features)}: "
                "choose one with --image_column"
            )
        column = images[0]
    elif column not in features:
        raise SystemExit(
            f"--image_column: {name} has no column {column!r}; it has {', '.join(features)}"
        )
    try:
        files = dataset.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    except Exception as error:  # pyarrow raises several kinds
        raise SystemExit(f"--image_column {column}: it does not hold images: {error}") from error
    return files
