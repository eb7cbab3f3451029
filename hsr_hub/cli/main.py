"""The parser of `hsr-hub`, and how errors are shown."""

from __future__ import annotations

import argparse
import io
import shlex
import signal
import sys
import traceback
from collections.abc import Sequence

from hsr_hub import __version__
from hsr_hub.cli import evaluate, export, models, push, push_space, upscale
from hsr_hub.hub import PublishError

COMMANDS = (upscale, models, evaluate, export, push, push_space)

EXAMPLES = """\
examples:
  hsr-hub upscale photo.jpg -o photo-4x.png
  hsr-hub upscale holiday/ -o enlarged/ --scale 2
  hsr-hub upscale scan.jpg -o clean.png --scale 1
  hsr-hub upscale face.png -o detailed.png --strength 0.5
  hsr-hub models
"""

EXPECTED_ERRORS = (OSError, ValueError, ModuleNotFoundError, PublishError)
"""Errors that a wrong argument, file, model or server causes. Their messages say what to do."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments; by default those of the process.

    Returns:
        The exit code: 0 for success, 1 if something failed, 2 for wrong usage, 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names that cannot be printed
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = build_parser()
    if not argv:
        parser.print_help(sys.stderr)
        return 2
    args = parser.parse_args(argv)
    args.command_line = shlex.join(["hsr-hub", *argv])
    # Raise SystemExit, so that partial files are removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return args.run(args)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    except Exception as error:
        if args.debug:
            traceback.print_exc()
        elif isinstance(error, EXPECTED_ERRORS):
            print(f"hsr-hub: {error}", file=sys.stderr)
        else:
            text = " ".join(str(error).split())
            print(
                f"hsr-hub: unexpected {type(error).__name__}: {text} "
                "(repeat the command with --debug to see where)",
                file=sys.stderr,
            )
        return 1


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="hsr-hub",
        description="Enlarge images, and measure, export and publish the models that do it.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"hsr-hub {__version__}")
    debug_help = "print the full traceback of an error"
    parser.add_argument("--debug", action="store_true", help=debug_help)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in COMMANDS:
        command = module.add_parser(commands)
        command.set_defaults(run=module.run)
        # Without a default, so that a --debug before the command is not reset.
        command.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help=debug_help
        )
    return parser
