"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TypeAlias

from tqdm.auto import tqdm

from hsr_hub import HSRNet
from hsr_hub.hub import (
    AUTO,
    DEFAULT_MODEL,
    DETAIL,
    GPU_MODEL,
    bundled_models,
    choose_weights,
    default_model,
)
from hsr_hub.images import ImageData, inspect_file
from hsr_hub.inference import FileOptions, best_device

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""Type of the object to which commands add their parsers."""


def new_parser(commands: Commands, name: str, text: str) -> argparse.ArgumentParser:
    """Add a command's parser, with one text for its help and for the list of commands."""
    return commands.add_parser(name, help=text, description=text)


def add_model_arguments(parser: argparse.ArgumentParser, auto: bool = False) -> None:
    """Add --model, --device and --dtype.

    Args:
        parser: The command's parser.
        auto: Whether the command chooses the weights for each image by default.
    """
    default = f"{DEFAULT_MODEL}, on a GPU {GPU_MODEL}"
    if auto:
        default = f"{AUTO}, which looks at each image and chooses; `hsr-hub models` lists them"
    parser.add_argument("--model", help=f"Hub id, folder or bundled model (default: {default})")
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


def bundled_detail_model(name: str) -> str:
    """Return the name of the bundled detail model of a bundled model.

    Raises:
        ValueError: If there is none.
    """
    if name + DETAIL not in bundled_models():
        raise ValueError(f"{name} has no bundled detail model: name one with --detail-model")
    return name + DETAIL


class AutoModel:
    """Chooses bundled weights for each image. Weights are loaded when they are first needed."""

    scale = 4
    """Scale of the bundled weights."""

    def __init__(self, device: str | None, strength: float | None, options: FileOptions) -> None:
        self.device, self.strength, self.options = device or best_device(), strength, options
        self._loaded: dict[str, HSRNet] = {}

    def __call__(self, source: Path, image: ImageData) -> HSRNet:
        """Return the network for an image, and print what was seen."""
        names = bundled = bundled_models()
        if self.strength is not None:
            names = [name for name in bundled if not name.endswith(DETAIL)]
        if self.strength:  # only weights to which details can be added
            names = [name for name in names if name + DETAIL in bundled]
        target = self.options.target_size(image.size, self.scale)
        scale = max(target[0] / image.size[0], target[1] / image.size[1])
        name, reason = choose_weights(
            inspect_file(source, image), scale, names, default_model(self.device)
        )
        tqdm.write(f"{source.name}: {reason} ({name})", file=sys.stderr)
        if name not in self._loaded:
            _, model = load_model(name, self.device)
            if self.strength:
                detail = HSRNet.from_pretrained(bundled_detail_model(name))
                model = HSRNet.interpolate(model, detail, self.strength)
            self._loaded[name] = model
        return self._loaded[name]
