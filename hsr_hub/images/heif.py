"""HEIC and HEIF, which iPhones write; read by pi-heif, which only decodes."""

from __future__ import annotations

from PIL import Image


def register() -> None:
    """Add HEIF to the formats that Pillow opens, if pi-heif is installed.

    A plugin that is already registered, such as that of pillow-heif, is kept.
    """
    if "HEIF" in Image.OPEN:
        return
    try:
        import pi_heif
    except ImportError:
        return
    pi_heif.register_heif_opener(thumbnails=False)
