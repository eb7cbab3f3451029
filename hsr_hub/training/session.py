"""Start, log and coordination of a run's processes."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor
from tqdm.auto import tqdm

from hsr_hub.images import ImageWarning
from hsr_hub.training.checkpoints import (
    find_resume_folder,
    register_hooks,
    remove_leftovers,
)
from hsr_hub.training.presets import preset_note

if TYPE_CHECKING:
    from accelerate import Accelerator

    from hsr_hub.model import HSRNet

logger = logging.getLogger(__name__)


@contextmanager
def exit_on_error(flag: str) -> Iterator[None]:
    """End the program with one line that names the flag whose value caused the error."""
    try:
        yield
    except (OSError, ValueError, ImportError) as error:
        raise SystemExit(f"{flag}: {error}") from error


@contextmanager
def readable_errors() -> Iterator[None]:
    """End the program with a sentence after Ctrl-C and where memory runs out."""
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit("stopped by Ctrl-C; the last checkpoint, if any, is intact") from None
    except torch.OutOfMemoryError as error:
        raise SystemExit(
            f"{error}\nThe memory of the device is too small: lower --train_batch_size, and raise "
            "--gradient_accumulation_steps for the same global batch, or lower --crop_size."
        ) from error


def start_accelerator(args: Namespace) -> Accelerator:
    """Return the accelerator and set up logging: information from the main process only."""
    from accelerate import Accelerator

    try:
        accelerator = Accelerator(
            log_with=args.report_to,
            project_dir=str(args.output_dir),
            gradient_accumulation_steps=args.gradient_accumulation_steps,
            mixed_precision=args.mixed_precision,
        )
    except (ValueError, ImportError) as error:
        flag = "--mixed_precision" if "precision" in str(error) else "--report_to"
        given = getattr(args, flag.removeprefix("--"))
        raise SystemExit(f"{flag if given else 'accelerate launch'}: {error}") from error
    if args.report_to and not accelerator.log_with:  # Accelerate drops it with a debug message
        raise SystemExit(
            f"--report_to {args.report_to}: its package is not installed: pip install "
            f"{args.report_to}"
        )
    if args.allow_tf32:
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True
    register_hooks(accelerator)
    logging.basicConfig(
        level=logging.INFO if accelerator.is_main_process else logging.ERROR,
        format="%(asctime)s %(message)s",
        datefmt="%H:%M:%S",
        stream=sys.stdout,
    )
    # Notes about profiles and depths of single files say nothing about the training.
    warnings.filterwarnings("ignore", category=ImageWarning)
    for library in ("accelerate", "httpx", "datasets"):  # httpx logs every request to the Hub
        logging.getLogger(library).setLevel(logging.WARNING)
    return accelerator


def prepare_output(args: Namespace, accelerator: Accelerator) -> Path | None:
    """Make the output folder and return the checkpoint to resume from, if there is one."""
    from accelerate.utils import broadcast_object_list

    # The main process searches for all, so that every process resumes from the same one.
    found: list[Path | None] = [None]
    if accelerator.is_main_process:
        found = [find_resume_folder(args.resume_from_checkpoint, args.output_dir)]
    folder = broadcast_object_list(found)[0]
    if folder and not folder.is_dir():
        raise SystemExit(f"{folder} is not on this machine: share --output_dir between machines")
    if args.resume_from_checkpoint and not folder:
        logger.info("no checkpoint in %s yet", args.output_dir)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    if accelerator.is_main_process:
        remove_leftovers(args.output_dir)
    return folder


def announce(
    args: Namespace,
    accelerator: Accelerator,
    net: HSRNet,
    *,
    first_step: int,
    photos: int | None,
    pairs: int,
) -> None:
    """Log the size of the run and start the tracker.

    Args:
        args: The flags of the run.
        accelerator: The processes.
        net: The network.
        first_step: Steps done before this launch.
        photos: Number of training photographs; None for a stream.
        pairs: Number of validation pairs.
    """
    if note := preset_note(args):
        logger.warning(note)
    per_step = args.train_batch_size * accelerator.num_processes * args.gradient_accumulation_steps
    parameters = sum(p.numel() for p in net.parameters())
    logger.info("***** Running training *****")
    logger.info("  parameters %d, levels %s", parameters, net.levels)
    logger.info("  photos %s, validation pairs %d", "streamed" if photos is None else photos, pairs)
    logger.info("  processes %d on %s", accelerator.num_processes, accelerator.device.type)
    logger.info("  batch per process %d, global batch %d", args.train_batch_size, per_step)
    logger.info("  steps %d, from step %d", args.max_train_steps, first_step)
    if args.report_to:
        simple = (int, float, str, bool)
        flags = {k: v if isinstance(v, simple) else str(v) for k, v in vars(args).items()}
        accelerator.init_trackers("hsr-hub", flags)


def log(args: Namespace, accelerator: Accelerator, step: int, values: Mapping[str, float]) -> None:
    """Write values to the tracker, to log.jsonl and to the terminal."""
    accelerator.log(dict(values), step=step)
    if accelerator.is_main_process:
        with exit_on_error("--output_dir"), (args.output_dir / "log.jsonl").open("a") as lines:
            lines.write(json.dumps({"step": step, **values}) + "\n")
        shown = "  ".join(f"{key} {value:.5g}" for key, value in values.items())
        tqdm.write(f"step {step}  {shown}", file=sys.stdout)


def any_process(accelerator: Accelerator, condition: bool) -> bool:
    """Return whether the condition holds in any process, so that all of them act alike."""
    if accelerator.num_processes == 1:
        return condition
    flag = torch.tensor(float(condition), device=accelerator.device)
    return float(cast(Tensor, accelerator.reduce(flag, "sum"))) > 0
