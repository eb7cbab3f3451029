"""How an image file was compressed: its codec, and the quality of JPEG and lossy WebP files."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from hsr_hub.images.identify import HEAD_BYTES, image_format

# fmt: off
STANDARD_LUMA = np.array([
    16, 11, 10, 16, 24, 40, 51, 61,
    12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77,
    24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
])
# fmt: on
"""Luma quantisation at quality 50, row by row (ITU-T T.81, table K.1)."""

VP8_START = b"\x9d\x01\x2a"
"""Start code of a key frame (RFC 6386, section 9.1)."""

VP8_HEADER_BYTES = 128
"""Bytes of the first partition that are read. The fields that are used end much earlier."""

SEGMENTS = 4
"""Segments of a VP8 frame, each of which can have its own quantiser."""


def read_codec(file: BinaryIO) -> str:
    """Return the codec of an open file, see `ImageTraits`, or `""`. The position moves."""
    name = image_format(file.read(HEAD_BYTES)) or ""
    if name != "WEBP":
        return name
    chunk, _ = _webp_image(file)
    return {b"VP8 ": "WEBP", b"VP8L": "WEBP-lossless"}.get(chunk, "")


def read_compression(file: BinaryIO) -> tuple[str, int | None]:
    """Return the codec and the quality of an open file; see `ImageTraits`.

    It never raises for a damaged file. The position is kept.
    """
    position = file.tell()
    try:
        file.seek(0)
        codec = read_codec(file)
        file.seek(0)
        readers = {"JPEG": read_jpeg_quality, "WEBP": read_webp_quality}
        return codec, readers[codec](file) if codec in readers else None
    finally:
        file.seek(position)


def _webp_image(file: BinaryIO) -> tuple[bytes, int]:
    """Return the name of the chunk with the first image of a WebP file, and where its data begin.

    The name is empty if there is none.
    """
    position = 12
    while True:
        file.seek(position)
        header = file.read(8)
        if len(header) < 8:
            return b"", position
        name, length = struct.unpack("<4sI", header)
        if name in {b"VP8 ", b"VP8L"}:
            return name, position + 8
        # The chunks of an animation's frame follow its 16 bytes of placement.
        position += 8 + (16 if name == b"ANMF" else length + length % 2)


def read_jpeg_quality(file: BinaryIO) -> int | None:
    """Return the quality of an open JPEG file, 1 to 100, or None if it has no readable tables."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata, which are not used here
            tables = getattr(Image.open(file, formats=["JPEG"]), "quantization", {})
    except Exception:  # broken headers raise many kinds of errors, and the quality is only a hint
        return None
    return estimate_jpeg_quality(tables[min(tables)]) if tables else None


def estimate_jpeg_quality(table: list[int] | np.ndarray) -> int | None:
    """Return libjpeg's quality whose luma table is closest to the given one, or None.

    Tables of other programs have other shapes. Their distance is taken on a logarithmic scale, so
    that all frequencies count alike.

    Args:
        table: 64 values, row by row.
    """
    values = np.asarray(table, dtype=np.float64)
    if values.shape != (64,):
        return None
    distances = np.abs(np.log(np.maximum(values, 1)) - np.log(_STANDARD_TABLES)).sum(axis=1)
    return int(distances.argmin()) + 1


def _standard_tables() -> np.ndarray:
    """Return libjpeg's luma tables of quality 1 to 100, shape (100, 64)."""
    quality = np.arange(1, 101)[:, None]
    percent = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return ((STANDARD_LUMA * percent + 50) // 100).clip(1, 255)


_STANDARD_TABLES = _standard_tables()


def read_webp_quality(file: BinaryIO) -> int | None:
    """Return libwebp's quality of an open lossy WebP file, 1 to 100, or None if it is damaged.

    A frame has up to four quantisers, for smooth and for busy segments. libwebp derives them from
    the quality, and the mean of them is turned back here.
    """
    file.seek(0)
    chunk, position = _webp_image(file)
    if chunk != b"VP8 ":
        return None
    file.seek(position)
    head, data = file.read(10), file.read(VP8_HEADER_BYTES)
    if head[3:6] != VP8_START or head[0] & 1 or len(data) < 2:  # the lowest bit: not a key frame
        return None
    index = _vp8_quantiser(_BoolDecoder(data))
    # libwebp: index = 127 (1 - compression ** (1/3)), where compression rises with the quality,
    # twice as fast above 75.
    compression = (1 - index / 127) ** 3
    quality = compression * 1.5 if compression < 0.5 else (compression + 1) / 2
    return max(1, min(100, round(100 * quality)))


def _vp8_quantiser(bits: _BoolDecoder) -> float:
    """Return the mean quantiser index of a key frame, 0 to 127 (RFC 6386, section 9)."""
    bits.literal(2)  # colour space, clamping
    absolute, segments = False, []
    if bits.literal(1):  # segments
        has_map = bits.literal(1)
        if bits.literal(1):  # values of the segments
            absolute = bool(bits.literal(1))
            segments = [bits.optional_signed(7) for _ in range(SEGMENTS)]
            for _ in range(SEGMENTS):
                bits.optional_signed(6)  # strength of the loop filter
        if has_map:
            for _ in range(SEGMENTS - 1):
                bits.optional(8)  # probabilities
    bits.literal(1 + 6 + 3)  # the loop filter: kind, strength, sharpness
    if bits.literal(1) and bits.literal(1):  # changes of its strength by mode
        for _ in range(8):
            bits.optional_signed(6)
    bits.literal(2)  # number of partitions
    base = bits.literal(7)
    indices = [value if absolute else base + value for value in segments] or [base]
    return sum(min(127, max(0, index)) for index in indices) / len(indices)


class _BoolDecoder:
    """The arithmetic decoder of VP8 for bits of equal probability (RFC 6386, section 7)."""

    def __init__(self, data: bytes) -> None:
        """Start at the first byte. Zeros follow the end of the data."""
        self._data = data
        self._value = int.from_bytes(data[:2], "big")
        self._range = 255
        self._shifts = 0
        self._next = 2

    def literal(self, count: int) -> int:
        """Return an unsigned number of `count` bits."""
        number = 0
        for _ in range(count):
            number = 2 * number + self._bit()
        return number

    def optional(self, count: int) -> int:
        """Return a number that is only there if a flag is set, or 0."""
        return self.literal(count) if self.literal(1) else 0

    def optional_signed(self, count: int) -> int:
        """Return the same with a sign after it."""
        if not self.literal(1):
            return 0
        number = self.literal(count)
        return -number if self.literal(1) else number

    def _bit(self) -> int:
        split = 1 + (self._range - 1) * 128 // 256
        bit = self._value >= split * 256
        if bit:
            self._value -= split * 256
            self._range -= split
        else:
            self._range = split
        while self._range < 128:
            self._range *= 2
            self._value *= 2
            self._shifts += 1
            if self._shifts == 8:
                self._shifts = 0
                self._value |= self._data[self._next] if self._next < len(self._data) else 0
                self._next += 1
        return int(bit)


def file_compression(path: str | Path) -> tuple[str, int | None]:
    """Return `read_compression` of a file; nothing is known of one that cannot be opened."""
    try:
        with Path(path).open("rb") as file:
            return read_compression(file)
    except OSError:
        return "", None
