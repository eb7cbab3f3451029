"""IPTC (caption, keywords and more) in JPEG and PNG, as Photoshop stores it there."""

from __future__ import annotations

BLOCK_NUMBER = 0x0404
"""Number of Photoshop's block with IPTC."""

SIGNATURE = b"8BIM"
"""Start of each of Photoshop's blocks."""

SEGMENT_NAME = b"Photoshop 3.0\0"
"""Start of the segment of a JPEG that holds the blocks."""

PNG_KEY = "Raw profile type iptc"
"""Key of the PNG text in which ImageMagick and ExifTool store the blocks."""


def to_jpeg_segment(iptc: bytes) -> bytes:
    """Return the segment of a JPEG that holds IPTC."""
    data = SEGMENT_NAME + _block(iptc)
    return b"\xff\xed" + (len(data) + 2).to_bytes(2, "big") + data


def to_png_text(iptc: bytes) -> str:
    """Return the text of a PNG that holds IPTC in hexadecimal digits."""
    data = _block(iptc)
    digits = data.hex()
    lines = [digits[at : at + 72] for at in range(0, len(digits), 72)]
    return f"\niptc\n{len(data):8d}\n" + "\n".join(lines) + "\n"


def from_png_text(text: str) -> bytes | None:
    """Return the IPTC in such a text, or None if there is none or the text is broken."""
    try:
        _, _, _, digits = text.split("\n", 3)
        data = bytes.fromhex(digits)
    except ValueError:
        return None
    return data if data.startswith(b"\x1c") else _find(data.removeprefix(SEGMENT_NAME))


def _block(iptc: bytes) -> bytes:
    """Return Photoshop's block: its signature, its number, an empty name, the length, the data."""
    head = SIGNATURE + BLOCK_NUMBER.to_bytes(2, "big") + bytes(2)
    return head + len(iptc).to_bytes(4, "big") + iptc + bytes(len(iptc) % 2)


def _find(data: bytes) -> bytes | None:
    """Return the IPTC among Photoshop's blocks."""
    at = 0
    while data[at : at + 4] == SIGNATURE and at + 7 <= len(data):
        number = int.from_bytes(data[at + 4 : at + 6], "big")
        at += 6 + (data[at + 6] + 2) // 2 * 2  # the name, with its length and padding
        size = int.from_bytes(data[at : at + 4], "big")
        if number == BLOCK_NUMBER:
            return data[at + 4 : at + 4 + size]
        at += 4 + size + size % 2
    return None
