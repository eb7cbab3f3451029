"""The photographs that the flags of the training script name."""

from __future__ import annotations

import hashlib
import logging
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from hsr_hub.hub import hub_api
from hsr_hub.training.checkpoints import read_launches
from hsr_hub.training.photos.datasets import (
    SHUFFLE_BUFFER,
    DatasetPhotos,
    StreamPhotos,
    load_images,
    read_value,
    row_label,
)
from hsr_hub.training.photos.folders import FolderPhotos
from hsr_hub.training.photos.pairs import PairPhotos
from hsr_hub.training.photos.photo import Photos
from hsr_hub.training.session import exit_on_error

if TYPE_CHECKING:
    from accelerate import Accelerator

logger = logging.getLogger(__name__)


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


def export_validation(args: Namespace, accelerator: Accelerator) -> Path:
    """Write the images of `--validation_dataset_name` into the output folder, as a test set.

    A test set of files is what validation, `hsr-hub evaluate` and the card read. Every split and
    column has its own folder, so that a resumed run does not validate on an earlier choice.
    """
    name = args.validation_dataset_name
    source = f"{name}\n{args.validation_dataset_split}\n{args.image_column}"
    key = hashlib.sha256(source.encode()).hexdigest()[:8]
    folder = args.output_dir / "validation" / key / name.strip("/").rpartition("/")[2]
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
            label = row_label(row[column], number)
            with exit_on_error(f"--validation_dataset_name {name}: {label}"):
                image = Image.fromarray(read_value(row[column], label))
            image.save(partial / f"{number:05d}.png")
        partial.rename(folder / "HR")
    accelerator.wait_for_everyone()
    return folder
