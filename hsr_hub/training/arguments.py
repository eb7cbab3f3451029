"""The command line of `train_accelerate.py`, in the dialect of the diffusers scripts."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence

from hsr_hub.training.checks import check_args
from hsr_hub.training.flags import build_parser
from hsr_hub.training.perceptual import parse_layers
from hsr_hub.training.presets import preset_flags

OF_DIFFUSERS = {
    "--resolution": "use --crop_size",
    "--center_crop": "crops are random; --crop_size sets their side",
    "--random_flip": "crops are always flipped and turned at random",
    "--gradient_checkpointing": "the network is small; lower --crop_size or --train_batch_size",
    "--use_8bit_adam": "the network is small; leave the flag out",
    "--enable_xformers_memory_efficient_attention": "the network has no attention; leave it out",
    "--use_ema": "the averaged weights are always saved; --ema_decay sets their decay",
    "--hub_token": "set HF_TOKEN or run `hf auth login`, so that no token is in a command line",
    "--cache_dir": "set HF_HOME",
    "--tracker_project_name": "the project is called hsr-hub",
    "--logging_dir": "logs are written to --output_dir",
    "--validation_prompt": "use --validation_data_dir or --validation_dataset_name",
    "--validation_epochs": "use --validation_steps",
    "--caption_column": "captions are not used; --image_column names the images",
}
"""Flags of the diffusers scripts that make no sense here, with what to do instead."""


def parse_args(argv: list[str] | None, description: str | None) -> argparse.Namespace:
    """Return the parsed command line.

    Everything is checked that can be checked without reading a file. A wrong value ends the program
    with a message that names the flag.
    """
    parser = build_parser(description)
    given, _ = parser.parse_known_args(argv)
    if given.preset:
        parser.set_defaults(**preset_flags(given))
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        parser.error(_suggestion(parser, unknown))
    check_args(parser, args)
    if args.dataloader_num_workers is None:
        # Cutting crops out of decoded photos costs less than sending them between processes.
        args.dataloader_num_workers = 0 if args.cache_images or args.streaming else 2
    if args.push_to_hub and not args.hub_model_id:
        args.hub_model_id = args.output_dir.resolve().name
    try:
        args.perceptual_layers = parse_layers(args.perceptual_layers)
    except ValueError as error:
        parser.error(f"--perceptual_layers: {error}")
    return args


def _suggestion(parser: argparse.ArgumentParser, unknown: Sequence[str]) -> str:
    """Return a message about unknown flags that names those that were probably meant."""
    known = [flag for flag in parser._option_string_actions if flag.startswith("--")]
    lines = []
    for word in unknown:
        flag = word.partition("=")[0]
        if not flag.startswith("-"):
            if not lines:
                lines.append(f"{word!r} belongs to no flag")
            continue
        advice = OF_DIFFUSERS.get(flag.replace("-", "_").replace("__", "--", 1))
        if advice is None:
            normal = f"--{flag.strip('-').replace('-', '_')}"
            close = difflib.get_close_matches(normal, known, n=1)
            advice = f"did you mean {close[0]}?" if close else "--help lists all flags"
        lines.append(f"there is no flag {flag}: {advice}")
    return "; ".join(lines)
