"""`hsr-hub push-space`: publish the web page as a Space."""

from __future__ import annotations

import argparse

from hsr_hub.cli.common import Commands, new_parser
from hsr_hub.hub import push_space


def add_parser(commands: Commands) -> argparse.ArgumentParser:
    """Add the command's parser."""
    text = "Publish the web page as a Space, with all bundled weights or with a model of yours."
    parser = new_parser(commands, "push-space", text)
    parser.add_argument("space_id", metavar="org/space", help="Space, created if needed")
    parser.add_argument(
        "--model",
        action="append",
        help="Hub id or bundled model; give it again for more, of which the first is the default "
        "(without it: all bundled models, among which the page chooses for each image)",
    )
    parser.add_argument(
        "--detail-model",
        metavar="M2",
        help="Hub id or bundled model for the detail slider of the first --model",
    )
    parser.add_argument(
        "--private",
        action="store_true",
        default=None,
        help="make a new Space private, and refuse an existing public one",
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Publish the Space, and print its address."""
    address = push_space(
        args.space_id,
        args.model,
        detail_model=args.detail_model,
        private=args.private,
        repeat=args.command_line,
    )
    print(address)
    return 0
