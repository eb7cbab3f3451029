"""`hsr-hub export`: write a model as an ONNX file."""

from __future__ import annotations

import argparse
from pathlib import Path

from hsr_hub import HSRNet
from hsr_hub.cli.common import Commands, new_parser
from hsr_hub.export.onnx import export_onnx
from hsr_hub.hub import DEFAULT_MODEL


def add_parser(commands: Commands) -> argparse.ArgumentParser:
    """Add the command's parser."""
    parser = new_parser(commands, "export", "Write a model as an ONNX file.")
    parser.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        help="Hub id, folder or bundled model (default: %(default)s)",
    )
    parser.add_argument(
        "--onnx", type=Path, required=True, metavar="FILE", help="the file to write"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Write the file, and print how far onnxruntime's result is from torch's."""
    difference = export_onnx(HSRNet.from_pretrained(args.model), args.onnx)
    print(f"{args.onnx} (onnxruntime and torch differ by at most {difference:.1g})")
    return 0
