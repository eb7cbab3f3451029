"""`hsr-hub upscale`: enlarge image files and folders."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path

from hsr_hub import HSRNet
from hsr_hub.cli.common import (
    AutoModel,
    Commands,
    add_model_arguments,
    bundled_detail_model,
    load_model,
    new_parser,
)
from hsr_hub.hub import AUTO
from hsr_hub.images import WRITE_FORMATS, describe_left_out, read_stamp
from hsr_hub.inference import (
    FileOptions,
    FileTask,
    best_device,
    existing_result,
    expected_stamp,
    own_share,
    plan,
    upscale_files,
)


def add_parser(commands: Commands) -> argparse.ArgumentParser:
    """Add the command's parser."""
    parser = new_parser(commands, "upscale", "Enlarge images.")
    parser.add_argument("inputs", nargs="+", type=Path, metavar="IN", help="image files or folders")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        help="a file for a single image, or a folder (created if needed) for files NAME-4x.png "
        "(default for a single image: NAME-4x.png in its folder)",
    )
    add_model_arguments(parser, auto=True)
    parser.add_argument(
        "--detail-model",
        metavar="M2",
        help="detail model to mix in by --strength (default: the model's bundled one)",
    )
    parser.add_argument(
        "--strength",
        type=float,
        help="from 0 (faithful) to 1 (most detail); default: what auto chooses, 0 for a named "
        "model, 0.5 with --detail-model",
    )
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--scale", type=float, help="factor (default: the model's)")
    target.add_argument("--size", type=_size, metavar="WxH", help="exact size in pixels")
    target.add_argument("--longest", type=_positive, metavar="N", help="longer side in pixels")
    parser.add_argument(
        "--width", type=_positive, metavar="N", help="width in pixels; the proportions stay"
    )
    parser.add_argument(
        "--height",
        type=_positive,
        metavar="N",
        help="height in pixels; the result fits into both if --width is given too",
    )
    parser.add_argument(
        "--format",
        choices=[*WRITE_FORMATS, "same"],
        help="file format, or the same as that of each image (default: by the output's name)",
    )
    parser.add_argument(
        "--keep-names", action="store_true", help="leave -4x out of the names of results"
    )
    parser.add_argument(
        "--keep-times", action="store_true", help="give results the times of their images"
    )
    parser.add_argument(
        "--frames",
        choices=["first", "all"],
        default=FileOptions.frames,
        help="frames of animations and pages of TIFF files; all are written into one PNG (APNG), "
        "WebP or GIF, pages into one TIFF, and into numbered files otherwise (default: first)",
    )
    parser.add_argument("--quality", type=int, metavar="1-100", help="of JPEG, WebP and AVIF")
    parser.add_argument(
        "--strip-metadata",
        action="store_true",
        help="leave out EXIF and location, XMP, IPTC, comments and prompts; the colour profile "
        "and the print resolution stay",
    )
    parser.add_argument(
        "--skip-existing", action="store_true", help="skip images whose result exists"
    )
    parser.add_argument(
        "--tile-size", type=int, help="side of a tile in input pixels (default: by free memory)"
    )
    parser.add_argument(
        "--max-megapixels",
        type=float,
        default=FileOptions.max_megapixels,
        help="refuse images and results with more megapixels (default: %(default)s)",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Enlarge the images, and return 1 if one of them failed.

    If a launcher such as `accelerate launch` started several processes, each takes a share.
    """
    if args.strength is not None and not 0 <= args.strength <= 1:
        raise ValueError(f"--strength must be between 0 and 1, not {args.strength}")
    if args.model == AUTO and args.detail_model:
        raise ValueError(
            "--model auto chooses the detail model itself: leave out --detail-model, or name a "
            "model"
        )
    if args.quality is not None and not 1 <= args.quality <= 100:
        raise ValueError(f"--quality must be between 1 and 100, not {args.quality}")
    if (args.width or args.height) and (args.scale or args.size or args.longest):
        raise ValueError(
            "--width and --height cannot be combined with --scale, --size or --longest: leave "
            "those out"
        )
    options = FileOptions(
        **{
            field.name: getattr(args, field.name)
            for field in fields(FileOptions)
            if field.name != "stamp"
        }
    )
    processes = None
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        from accelerate import PartialState

        # On the CPU, because the processes only wait for each other at the end.
        processes = PartialState(cpu=True, timeout=timedelta(days=30))
        if not args.device and best_device() == "cuda":
            args.device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    if args.model in {None, AUTO} and not args.detail_model:
        model = AutoModel(args.device, args.strength, options)
        settings = ["hsr-hub", options.label(model.scale), AUTO]
        if args.strength:
            settings.append(f"detail {args.strength:g}")
    else:
        name, model = load_model(args.model, args.device)
        settings = ["hsr-hub", options.label(model.scale), Path(name).name]
        detail_model = args.detail_model
        strength = 0.5 if args.strength is None else args.strength
        if not detail_model and args.strength:
            detail_model = bundled_detail_model(name)
        if detail_model:
            model = HSRNet.interpolate(model, HSRNet.from_pretrained(detail_model), strength)
            settings.append(f"{Path(detail_model).name} {strength:g}")
    options = replace(options, stamp=" ".join(settings))
    planned = plan(
        args.inputs,
        args.output,
        options.label(model.scale),
        format=options.format,
        keep_names=args.keep_names,
    )
    left_out = f"left out: {describe_left_out(planned.left_out)}" if planned.left_out else ""
    if not planned.tasks:
        raise ValueError(
            "no image found in "
            + ", ".join(str(path) for path in args.inputs)
            + (f" ({left_out})" if left_out else "")
        )
    tasks = own_share(planned.tasks)
    if args.skip_existing:
        tasks = _without_existing(tasks, options)
    failures = upscale_files(model, tasks, options)
    if left_out and int(os.environ.get("RANK", 0)) == 0:
        print(f"hsr-hub: {left_out}", file=sys.stderr)
    if failures:
        print(f"hsr-hub: {failures} of {len(tasks)} images failed", file=sys.stderr)
    if processes:  # a launcher ends all processes when the first one fails
        processes.wait_for_everyone()
    return 1 if failures else 0


def _without_existing(tasks: list[FileTask], options: FileOptions) -> list[FileTask]:
    """Return the tasks whose results do not exist, and print how many do."""
    missing: list[FileTask] = []
    others: set[str] = set()
    for task in tasks:
        existing = existing_result(task, options)
        if existing is None:
            missing.append(task)
        elif read_stamp(existing) not in {expected_stamp(task, options), None}:
            others.add(str(read_stamp(existing)))
    if len(missing) < len(tasks):
        skipped = len(tasks) - len(missing)
        print(f"hsr-hub: skipped {skipped} images whose results exist", file=sys.stderr)
    if others:
        print(
            f"hsr-hub: some of these results have other settings ({', '.join(sorted(others))}): "
            "use another folder, or leave out --skip-existing, to make them again",
            file=sys.stderr,
        )
    return missing


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not WIDTHxHEIGHT, like 1920x1080") from None
    return width, height


def _positive(text: str) -> int:
    if not (text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)
