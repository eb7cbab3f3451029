"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from typing import TypeAlias

from hsr_hub import HSRNet
from hsr_hub.hub import DEFAULT_MODEL, GPU_MODEL, default_model
from hsr_hub.inference import best_device

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""Type of the object to which commands add their parsers."""


def new_parser(commands: Commands, name: str, text: str) -> argparse.ArgumentParser:
    """Add a command's parser, with one text for its help and for the list of commands."""
    return commands.add_parser(name, help=text, description=text)


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --model, --device and --dtype."""
    parser.add_argument(
        "--model",
        help=f"Hub id, folder or bundled model (default: {DEFAULT_MODEL}, on a GPU {GPU_MODEL})",
    )
    parser.add_argument("--device", help="cpu, cuda, mps, ... (default: the best available)")
    parser.add_argument(
        "--dtype",
        choices=["float32", "bfloat16", "float16"],
        help="number format of the convolutions (default: the fastest that is safe on the device)",
    )


def load_model(model: str | None, device: str | None) -> tuple[str, HSRNet]:
    """Load the model that --model and --device ask for.

    Returns:
        The model's name, which depends on the device if none is given, and the network.

    Raises:
        ValueError: If torch does not support the device.
    """
    device = device or best_device()
    name = model or default_model(device)
    try:
        return name, HSRNet.from_pretrained(name, map_location=device)
    except AssertionError as error:  # torch raises it if it was built without the device
        raise ValueError(f"--device {device}: {error}") from error
