"""`hsr-hub push`: publish a folder of weights to the Hub."""

from __future__ import annotations

import argparse
from pathlib import Path

from hsr_hub import HSRNet
from hsr_hub.cli.common import Commands, new_parser
from hsr_hub.hub import CARD_NAME, publish, read_metrics, resolve_folder


def add_parser(commands: Commands) -> argparse.ArgumentParser:
    """Add the command's parser."""
    parser = new_parser(commands, "push", "Publish a trained folder to the Hugging Face Hub.")
    parser.add_argument("folder", metavar="DIR", help="output of a training, or a bundled model")
    parser.add_argument("repo_id", metavar="org/name", help="repository, created if needed")
    parser.add_argument(
        "--private",
        action="store_true",
        default=None,
        help="make a new repository private, and refuse an existing public one",
    )
    parser.add_argument("--branch", help="branch to commit to, created if needed (default: main)")
    parser.add_argument("--create-pr", action="store_true", help="open a pull request instead")
    parser.add_argument("--tag", help="name of a new version, like v1.0")
    parser.add_argument(
        "--metrics",
        "--figures",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="outputs of `hsr-hub evaluate --json` for the card",
    )
    parser.add_argument(
        "--license",
        metavar="ID",
        help="licence of the weights, such as cc-by-4.0 (default: that of the card)",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Check that the weights load, publish them, and print the address of the commit."""
    folder = resolve_folder(args.folder)
    model = HSRNet.from_pretrained(folder)
    card = None
    if not (folder / CARD_NAME).is_file():
        sample = (folder / "sample.png").is_file()
        card = str(model.generate_model_card(name=args.repo_id, sample=sample))
    address = publish(
        folder,
        args.repo_id,
        card=card,
        metrics=[metrics for path in args.metrics for metrics in read_metrics(path)],
        license_id=args.license,
        private=args.private,
        branch=args.branch,
        create_pr=args.create_pr,
        tag=args.tag,
        repeat=args.command_line,
    )
    print(address)
    return 0
