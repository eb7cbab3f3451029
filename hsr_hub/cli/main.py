"""The `hsr-hub` command: upscale, evaluate, export, push, push-space."""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import sys
from dataclasses import asdict, fields
from datetime import timedelta
from pathlib import Path

from hsr_hub import HSRNet, __version__
from hsr_hub.hub import DEFAULT_MODEL, GPU_MODEL, default_model, publish_space
from hsr_hub.hub import publish_model as publish
from hsr_hub.images import WRITE_FORMATS, atomic_write
from hsr_hub.inference import FileOptions, best_device, own_share, plan, upscale_files


def main(argv: list[str] | None = None) -> int:
    """Run the command line; the exit code: 0 done, 1 something failed, 2 wrong usage."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name must not stop a batch
    args = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds: no half-written file stays
    try:
        return args.run(args)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        # Everything that a wrong argument, file, model or server can cause, said in one line.
        print(f"hsr-hub: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hsr-hub", description="Hierarchical super-resolution.")
    parser.add_argument("--version", action="version", version=f"hsr-hub {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    up = command("upscale", _upscale, "Enlarge pictures.")
    up.add_argument("inputs", nargs="+", type=Path, metavar="IN", help="picture files or folders")
    up.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        help="a file for one picture, or a folder (made if needed) that gets NAME-4x.png",
    )
    _add_model(up)
    up.add_argument("--detail-model", metavar="M2", help="detail twin to mix in by --strength")
    up.add_argument("--strength", type=float, help="0 faithful ... 1 most detail (default 0.5)")
    target = up.add_mutually_exclusive_group()
    target.add_argument("--scale", type=float, help="factor; default: the model's")
    target.add_argument("--size", type=_size, metavar="WxH", help="exact size in pixels")
    target.add_argument("--longest", type=_positive, metavar="N", help="longer side in pixels")
    up.add_argument("--width", type=_positive, metavar="N", help="width in pixels, same shape")
    up.add_argument("--height", type=_positive, metavar="N", help="height; with --width: at most")
    up.add_argument("--format", choices=list(WRITE_FORMATS), help="default: by the name")
    up.add_argument("--quality", type=int, metavar="1-100", help="of JPEG, WebP and AVIF")
    up.add_argument("--strip-metadata", action="store_true", help="keep no EXIF and XMP")
    up.add_argument("--skip-existing", action="store_true", help="leave results that are there")
    up.add_argument("--tile-size", type=int, help="input pixels; default: by free memory")
    up.add_argument(
        "--max-megapixels",
        type=float,
        default=FileOptions.max_megapixels,
        help="refuse pictures and results beyond this many (default: %(default)s)",
    )

    ev = command("evaluate", _evaluate, "Measure a model on a test set with HR/ and LRx4/ folders.")
    _add_model(ev)
    ev.add_argument("--data", type=Path, required=True, help="folder of the test set")
    ev.add_argument("--scale", type=int, help="level to measure; default: the model's last")
    ev.add_argument("--metric-weights", type=Path, help="folder of LPIPS weights")
    ev.add_argument("--json", type=Path, help="write the figures here too")

    export = command("export", _export, "Write a model as an ONNX file.")
    export.add_argument("--model", default=DEFAULT_MODEL, help="default: %(default)s")
    export.add_argument("--onnx", type=Path, required=True, metavar="FILE")

    publish.add_command(command)
    publish_space.add_command(command)
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        help=f"Hub id, folder or shipped set (default: {DEFAULT_MODEL}, on a GPU {GPU_MODEL})",
    )
    parser.add_argument("--device", help="cpu, cuda, mps, ...; default: the best there is")
    parser.add_argument(
        "--dtype",
        choices=["float32", "bfloat16", "float16"],
        help="of the convolutions; default: the fastest that is safe on the device",
    )


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


def _load(args: argparse.Namespace) -> HSRNet:
    device = args.device or best_device()
    args.model = args.model or default_model(device)
    try:
        model = HSRNet.from_pretrained(args.model, map_location=device)
    except AssertionError as error:  # torch's, where it was built without the device
        raise ValueError(f"--device {device}: {error}") from error
    if getattr(args, "detail_model", None):
        strength = 0.5 if args.strength is None else args.strength
        model = HSRNet.interpolate(model, HSRNet.from_pretrained(args.detail_model), strength)
    return model


def _upscale(args: argparse.Namespace) -> int:
    if args.strength is not None and not args.detail_model:
        raise ValueError("--strength mixes two models: name the other with --detail-model")
    if args.quality is not None and not 1 <= args.quality <= 100:
        raise ValueError(f"--quality must be between 1 and 100, not {args.quality}")
    if (args.width or args.height) and (args.scale or args.size or args.longest):
        raise ValueError("--width and --height stand alone: leave out --scale, --size, --longest")
    options = FileOptions(
        **{field.name: getattr(args, field.name) for field in fields(FileOptions)}
    )
    several = int(os.environ.get("WORLD_SIZE", 1)) > 1
    everyone = None
    if several:
        from accelerate import PartialState

        # On the CPU, as all that the processes do together is to wait for the slowest at the end.
        everyone = PartialState(cpu=True, timeout=timedelta(days=30))
        if not args.device and best_device() == "cuda":
            args.device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    model = _load(args)
    jobs = plan(args.inputs, args.output, options.label(model.scale), options.format)
    if not jobs:
        raise ValueError("no picture found in " + ", ".join(str(p) for p in args.inputs))
    jobs = own_share(jobs)
    if args.skip_existing:
        there = [job for job in jobs if job.target.exists()]
        jobs = [job for job in jobs if job not in there]
        if there:
            print(f"hsr-hub: {len(there)} results are there already", file=sys.stderr)
    failures = upscale_files(model, jobs, options)
    if failures:
        print(f"hsr-hub: {failures} of {len(jobs)} pictures failed", file=sys.stderr)
    if everyone:  # a launcher ends all processes when the first one reports failure
        everyone.wait_for_everyone()
    return 1 if failures else 0


def _evaluate(args: argparse.Namespace) -> int:
    from hsr_hub.evaluation import evaluate, table

    figures = evaluate(
        _load(args),
        args.data,
        scale=args.scale,
        metric_weights=args.metric_weights,
        dtype=args.dtype,
    )
    print(table([figures]))
    if args.json:
        with atomic_write(args.json) as partial:
            partial.write_text(
                json.dumps({"model": args.model, **asdict(figures)}, indent=2) + "\n"
            )
    return 0


def _export(args: argparse.Namespace) -> int:
    from hsr_hub.export.onnx import export_onnx

    difference = export_onnx(HSRNet.from_pretrained(args.model), args.onnx)
    print(f"{args.onnx} (onnxruntime and torch differ by at most {difference:.1g})")
    return 0
