"""Where training photographs come from: folders, data sets of the Hub, folders of pairs."""

from __future__ import annotations

import io
import logging
import os
import warnings
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from hsr_hub.hub import hub_api
from hsr_hub.images import READ_SUFFIXES, read_pil, to_rgb
from hsr_hub.training.checkpoints import read_launches
from hsr_hub.training.session import exit_on_error

if TYPE_CHECKING:
    from accelerate import Accelerator

logger = logging.getLogger(__name__)

SHUFFLE_BUFFER = 256
"""Photos among which the next one of a stream is drawn."""

ORIENTATION = 0x0112
"""Number of the EXIF tag; values from 5 on exchange width and height."""


class NoPhotosError(ValueError):
    """No training photo can be used."""


class Photo(NamedTuple):
    """A decoded photograph, and its low-resolution image if that is given."""

    gt: np.ndarray
    """(H,W,3) uint8."""
    lq: np.ndarray | None = None
    """(H/scale,W/scale,3) uint8."""


class Photos(Protocol):
    """Photographs by number, decoded when they are read."""

    name: str
    """The flag and its values, for messages."""

    def __len__(self) -> int:
        """Return the number of photographs."""
        ...

    def label(self, index: int) -> str:
        """Return the name of a photograph for messages."""
        ...

    def read(self, index: int) -> Photo:
        """Decode a photograph. Decoders raise many kinds of errors."""
        ...


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


def read_rgb(source: Path | io.BytesIO, name: str | None = None) -> np.ndarray:
    """Return an image file as (H,W,3) uint8."""
    return np.array(to_rgb(read_pil(source, name)))


def _size(path: Path) -> tuple[int, int]:
    """Return width and height by an image's header, as it is displayed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about sizes and metadata
        with Image.open(path) as image:
            width, height = image.size
            # A PNG's EXIF data may follow its pixels, which Pillow would decode to reach it.
            turned = image.format != "PNG" and image.getexif().get(ORIENTATION, 1) >= 5
    return (height, width) if turned else (width, height)


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
        paths = find_images(folders)

        def problem(path: Path) -> str:
            try:
                width, height = _size(path)
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


class PairPhotos:
    """Photographs with low-resolution images of their own: folders with `HR/` and `LRx{scale}/`.

    Both files of a pair have the same name before the suffix; `0001x4` fits `0001` too. The
    original is cropped to `scale` times the size of the low-resolution image.

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
            low = {p.stem: p for p in find_images([folder / f"LRx{scale}"])}
            for gt in find_images([folder / "HR"]):
                lq = low.get(gt.stem) or low.get(f"{gt.stem}x{scale}")
                if lq is None:
                    problems.append(f"{gt.name} has no image in {folder / f'LRx{scale}'}")
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


def _pair_sizes(pair: tuple[Path, Path]) -> tuple[tuple[int, int], tuple[int, int]] | str:
    """Return the sizes of both images, or why one cannot be read."""
    try:
        return _size(pair[0]), _size(pair[1])
    except Exception as error:  # decoders raise many kinds
        return str(error)


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
        return _row_label(self._dataset[index][self._column], index)

    def read(self, index: int) -> Photo:
        """Decode a row."""
        value = self._dataset[index][self._column]
        return Photo(_read_value(value, _row_label(value, index)))


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
                label = _row_label(value, number)
                try:
                    photo = Photo(_read_value(value, label))
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


def _row_label(value: dict[str, Any] | Image.Image | None, index: int) -> str:
    if isinstance(value, Image.Image):
        path = getattr(value, "filename", None)
    else:
        path = (value or {}).get("path")
    return f"row {index}" + (f" ({Path(path).name})" if path else "")


def _read_value(value: dict[str, Any] | Image.Image | None, label: str) -> np.ndarray:
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


def open_photos(
    args: Namespace, accelerator: Accelerator, resume_folder: Path | None = None
) -> Photos | StreamPhotos:
    """Return the training photographs that the flags name.

    `args.dataset_commit` becomes the commit of a data set on the Hub. A resumed run without
    `--dataset_revision` reads the commit that it began with.

    Raises:
        SystemExit: There are none. The message names the flag.
    """
    args.dataset_commit = None
    progress = accelerator.is_main_process
    if args.train_data_dir:
        with exit_on_error("--train_data_dir"):
            return FolderPhotos(args.train_data_dir, args.crop_size, progress)
    if args.train_pairs_dir:
        with exit_on_error("--train_pairs_dir"):
            return PairPhotos(args.train_pairs_dir, args.crop_size, args.scale, progress)
    args.dataset_commit = dataset_commit(args, resume_folder)
    # The main process downloads, and the others find the data in the cache.
    with accelerator.main_process_first():
        dataset = load_images(
            args.dataset_name,
            flag="--dataset_name",
            config=args.dataset_config_name,
            split=args.dataset_split,
            revision=args.dataset_commit or args.dataset_revision,
            column=args.image_column,
            streaming=args.streaming,
        )
    column = dataset.column_names[0]
    name = f"--dataset_name {args.dataset_name}"
    if args.streaming:
        if args.max_train_samples:
            dataset = dataset.take(args.max_train_samples)
        logger.warning(
            "--streaming: photos are shuffled within a buffer of %d only, and a resumed run reads "
            "the stream from its start in another order. Such a run cannot be repeated to the bit.",
            SHUFFLE_BUFFER,
        )
        return StreamPhotos(dataset, column, name)
    if args.max_train_samples:
        dataset = dataset.select(range(min(len(dataset), args.max_train_samples)))
    if not len(dataset):
        raise SystemExit(f"{name}: split {args.dataset_split!r} has no rows")
    return DatasetPhotos(dataset, column, name)


def dataset_commit(args: Namespace, resume_folder: Path | None) -> str | None:
    """Return the commit of `--dataset_name` to read; None for a folder or without the Hub."""
    if Path(args.dataset_name).exists():
        return None
    if resume_folder and args.dataset_revision is None:
        for launch in reversed(read_launches(resume_folder)):
            earlier = launch["arguments"]
            if earlier.get("dataset_name") == args.dataset_name:
                return earlier.get("dataset_commit")
    try:
        return hub_api().dataset_info(args.dataset_name, revision=args.dataset_revision).sha
    except Exception:  # load_dataset says what is wrong, or takes what is cached
        return None


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


def export_validation(args: Namespace, accelerator: Accelerator) -> Path:
    """Write the images of `--validation_dataset_name` into the output folder, as a test set.

    A test set of files is what validation, `hsr-hub evaluate` and the card read.
    """
    name = args.validation_dataset_name
    folder = args.output_dir / "validation" / name.strip("/").rpartition("/")[2]
    if accelerator.is_main_process and not (folder / "HR").is_dir():
        dataset = load_images(
            name,
            flag="--validation_dataset_name",
            split=args.validation_dataset_split,
            column=args.image_column,
        )
        partial = folder / "HR.partial"
        partial.mkdir(parents=True, exist_ok=True)
        column = dataset.column_names[0]
        for number, row in enumerate(dataset):
            label = _row_label(row[column], number)
            with exit_on_error(f"--validation_dataset_name {name}: {label}"):
                image = Image.fromarray(_read_value(row[column], label))
            image.save(partial / f"{number:05d}.png")
        partial.rename(folder / "HR")
    accelerator.wait_for_everyone()
    return folder
