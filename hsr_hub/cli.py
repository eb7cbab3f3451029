"""The `hsr-hub` command: upscale, evaluate, push, push-space."""

from __future__ import annotations

import argparse
import io
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from tqdm.auto import tqdm

from hsr_hub import HSRNet, __version__, image_io, publish, space
from hsr_hub.files import write_whole

DEFAULT_MODEL = "hsr-lite-x4"


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
    up.add_argument("--tile-size", type=int, help="input pixels; default: by free memory")

    ev = command("evaluate", _evaluate, "Measure a model on a test set with HR/ and LRx4/ folders.")
    _add_model(ev)
    ev.add_argument("--data", type=Path, required=True, help="folder of the test set")
    ev.add_argument("--scale", type=int, help="level to measure; default: the model's last")
    ev.add_argument("--metric-weights", type=Path, help="folder of LPIPS weights")
    ev.add_argument("--json", type=Path, help="write the figures here too")

    publish.add_command(command)
    space.add_command(command)
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        help="Hub id, folder or shipped set (default: %(default)s)",
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


def best_device() -> str:
    """cuda, mps, xpu or cpu: the first that is there."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available():
        return "mps"
    if torch.xpu.is_available():
        return "xpu"
    return "cpu"


def _load(args: argparse.Namespace) -> HSRNet:
    model = HSRNet.from_pretrained(args.model, map_location=args.device or best_device())
    if getattr(args, "detail_model", None):
        strength = 0.5 if args.strength is None else args.strength
        model = HSRNet.interpolate(model, HSRNet.from_pretrained(args.detail_model), strength)
    return model


def _upscale(args: argparse.Namespace) -> int:
    if args.strength is not None and not args.detail_model:
        raise ValueError("--strength mixes two models: name the other with --detail-model")
    model = _load(args)
    size = args.size and f"{args.size[0]}x{args.size[1]}"
    label = size or f"{args.scale or model.scale:g}x"
    jobs = _jobs(args.inputs, args.output, label)
    if not jobs:
        raise ValueError("no picture found in " + ", ".join(str(p) for p in args.inputs))
    failures = 0
    with tqdm(total=len(jobs), unit="picture", disable=None) as bar:
        for source, target in jobs:
            bar.set_description(source.name)
            try:
                size = _upscale_one(model, source, target, args)
            except (OSError, ValueError, RuntimeError, MemoryError) as error:
                failures += 1
                reason = str(error) or type(error).__name__
                named = reason if source.name in reason else f"{source}: {reason}"
                tqdm.write(f"hsr-hub: skipped: {named}", file=sys.stderr)
            else:
                tqdm.write(f"{target} {size[0]}x{size[1]}")
            bar.update()
    if failures:
        print(f"hsr-hub: {failures} of {len(jobs)} pictures failed", file=sys.stderr)
    return 1 if failures else 0


def _upscale_one(
    model: HSRNet, source: Path, target: Path, args: argparse.Namespace
) -> tuple[int, int]:
    """Read, enlarge, write; the result's (width, height)."""
    picture = image_io.read_image(source)
    image_io.prepare_folder(target)
    with tqdm(desc="tiles", leave=False, disable=None, position=1) as tiles:

        def show(done: int, total: int) -> None:
            tiles.total = total
            tiles.update(done - tiles.n)

        result = model.upscale(
            picture,
            scale=args.scale,
            size=args.size,
            tile_size=args.tile_size,
            dtype=args.dtype,
            progress=show,
        )
    image_io.save_image(result, target)
    return result.size


def _jobs(inputs: list[Path], output: Path, label: str) -> list[tuple[Path, Path]]:
    """Each source with the file that its result goes to: `output`, or NAME-{label}.png in it.

    Raises:
        ValueError: A result would take a source's place, or the output is no folder and must be.
    """
    if len(inputs) == 1 and not inputs[0].is_dir() and output.suffix and not output.is_dir():
        image_io.check_suffix(output)
        if output.resolve() == inputs[0].resolve():
            raise ValueError(f"{output} would take the place of the picture itself")
        return [(inputs[0], output)]
    if output.is_file() or output.suffix.lower() in image_io.SAVE_OPTIONS:
        raise ValueError(f"several pictures need a folder; {output} is named as a file")
    jobs: list[tuple[Path, Path]] = []
    taken: set[str] = set()
    for entry in inputs:
        if entry.is_dir() and entry.resolve() == output.resolve():
            raise ValueError(
                f"results in {output} would mix with the pictures: name another folder"
            )
        for source in _pictures(entry, output):
            # The folder's tree is kept. Pictures that differ in nothing but the suffix, or in the
            # folder they were named with, get names that differ.
            place = source.relative_to(entry).parent if entry.is_dir() else Path()
            names = [source.stem, f"{source.stem}-{source.suffix[1:].lower()}"]
            names += [f"{names[1]}-{number}" for number in range(2, len(taken) + 3)]
            targets = (output / place / f"{name}-{label}.png" for name in names)
            target = next(t for t in targets if str(t).casefold() not in taken)
            taken.add(str(target).casefold())
            jobs.append((source, target))
    sources = {source.resolve() for source, _ in jobs}
    for _, target in jobs:
        if target.resolve() in sources:
            raise ValueError(f"{target} would take the place of a picture that is to be enlarged")
    return jobs


def _pictures(entry: Path, output: Path) -> list[Path]:
    """The entry itself, or the pictures below it without hidden ones and earlier results."""
    if not entry.is_dir():
        return [entry]
    earlier = output.resolve()
    return sorted(
        path
        for path in entry.rglob("*")
        if path.suffix.lower() in image_io.READ_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(entry).parts)
        and path.is_file()
        and earlier not in path.resolve().parents
    )


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
        with write_whole(args.json) as partial:
            partial.write_text(
                json.dumps({"model": args.model, **asdict(figures)}, indent=2) + "\n"
            )
    return 0
