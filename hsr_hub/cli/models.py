"""`hsr-hub models`: list the bundled weights."""

from __future__ import annotations

import argparse

from hsr_hub.cli.common import Commands, new_parser
from hsr_hub.hub import AUTO, DETAIL, REAL, bundled_models

NOTES = {
    AUTO: "looks at each image and chooses between the weights below (the default)",
    REAL: "web and phone photos: removes JPEG blocks, noise and blur; --scale 1 only cleans",
    DETAIL: "more detail, part of it invented; --strength mixes it in",
    "": "clean originals: faithful to every pixel",
}
"""Purpose of weights, by the end of their name."""


def add_parser(commands: Commands) -> argparse.ArgumentParser:
    """Add the command's parser."""
    return new_parser(commands, "models", "List the bundled weights and what each is for.")


def run(args: argparse.Namespace) -> int:
    """Print the names of the bundled weights, each with its purpose."""
    names = [AUTO, *bundled_models()]
    width = max(map(len, names))
    for name in names:
        print(f"{name:{width}}  {describe(name)}")
    return 0


def describe(name: str) -> str:
    """Return the purpose of bundled weights."""
    note = next(text for suffix, text in NOTES.items() if name.endswith(suffix))
    size = "" if name == AUTO else "small and fast; " if "-lite-" in name else "large; "
    return size + note
