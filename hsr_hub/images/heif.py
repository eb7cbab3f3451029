"""HEIC and HEIF, which iPhones write; read by pi-heif, which only decodes."""

from __future__ import annotations

from PIL import Image

INSTALL_HINT = "it is a HEIC or HEIF image: install the decoder by `pip install hsr-hub[heif]`"


def register() -> bool:
    """Add HEIF to the formats that Pillow opens, and return whether it is there.

    A plugin that is already registered, such as that of pillow-heif, is kept.
    """
    if "HEIF" in Image.OPEN:
        return True
    try:
        import pi_heif
    except ImportError:
        return False
    pi_heif.register_heif_opener(thumbnails=False)
    return True


AVAILABLE = register()
"""Whether HEIF files can be read."""
