"""Say what is converted or left out when an image is read."""

from __future__ import annotations

from PIL import Image

from hsr_hub.images.modes import CONVERTED_MODES
from hsr_hub.images.profiles import HDR_TRANSFERS, CodePoints


def find_losses(image: Image.Image, head: bytes, points: CodePoints | None) -> list[str]:
    """Return the losses of an opened image, such as "CMYK converted to RGB".

    Args:
        image: The file as Pillow opened it.
        head: The start of the file.
        points: The code points of its colours.
    """
    losses = []
    if image.mode in CONVERTED_MODES:
        approximate = image.mode == "CMYK" and not image.info.get("icc_profile")
        note = " without a colour profile: colours may differ" if approximate else ""
        losses.append(f"{image.mode} converted to RGB{note}")
    if points and points.transfer in HDR_TRANSFERS:
        name = HDR_TRANSFERS[points.transfer]
        losses.append(f"its HDR colours ({name}) are treated as ordinary ones, and can look pale")
    bits = _bits(image, head)
    if bits > 8:
        losses.append(f"its {bits} bits per channel are reduced to 8")
    if parts := _lost_parts(image):
        losses.append(f"{' and '.join(parts)} {'are' if len(parts) > 1 else 'is'} left out")
    return losses


def _bits(image: Image.Image, head: bytes) -> int:
    """Return the bits per channel of a HEIC or AVIF, which are read as 8, and 8 for others."""
    if image.format == "HEIF":
        bits = image.info.get("bit_depth", 8)
        return bits if isinstance(bits, int) else 8
    at = head.find(b"av1C") + 4
    if image.format == "AVIF" and at >= 4 and at + 3 <= len(head):
        flags = head[at + 2]
        return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10
    return 8


def _lost_parts(image: Image.Image) -> list[str]:
    """Return the parts of a phone's photo that a result does not have."""
    xmp = image.info.get("xmp")
    xmp = xmp if isinstance(xmp, bytes) else b""
    auxiliary = image.info.get("aux")
    kinds = " ".join(map(str, auxiliary)) if isinstance(auxiliary, dict) else ""
    parts = []
    if b"/hdr-gain-map/" in xmp or b"/HDRGainMap/" in xmp or "gainmap" in kinds.lower():
        parts.append("its gain map (the brightness for HDR screens)")
    if b":MotionPhoto" in xmp or b":MicroVideo" in xmp:
        parts.append("its video")
    if b"/photos/1.0/depthmap/" in xmp or image.info.get("depth_images"):
        parts.append("its depth map")
    return parts
