"""The weights that come with the package, and which of them are the default."""

from __future__ import annotations

from pathlib import Path

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
CARD_NAME = "README.md"
ATTRIBUTION_NAME = "ATTRIBUTION.md"
"""Sources and licences of the training photographs; in a folder whose card links it."""

BUNDLED = Path(__file__).parents[1] / "weights"
"""Folder with one folder per bundled model."""

DEFAULT_MODEL = "hsr-lite-x4"
"""Default on a CPU."""

GPU_MODEL = "hsr-x4"
"""Default on every other device: larger and more faithful."""

DETAIL = "-detail"
"""Suffix of a bundled detail model: `NAME-detail` belongs to `NAME`."""


def bundled_models() -> list[str]:
    """Return the names of the bundled models, sorted."""
    return sorted(path.parent.name for path in BUNDLED.glob(f"*/{CONFIG_NAME}"))


def default_model(device: str) -> str:
    """Return the name of the bundled model to use on a device such as "cpu" or "cuda:1"."""
    larger = not device.startswith("cpu") and GPU_MODEL in bundled_models()
    return GPU_MODEL if larger else DEFAULT_MODEL


def resolve_folder(name: str | Path) -> Path:
    """Return the folder of a local or bundled model.

    A folder with a config.json comes before a bundled model of the same name.

    Args:
        name: A folder or the name of a bundled model. Anything else is returned as a path.
    """
    folder = Path(name)
    if not (folder / CONFIG_NAME).is_file() and str(name) in bundled_models():
        return BUNDLED / str(name)
    return folder
