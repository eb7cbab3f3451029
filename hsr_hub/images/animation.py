"""Write animations frame by frame: APNG, WebP and GIF.

Pillow encodes each frame as a file of its own. The compressed pixels are moved from there into the
animation, so that only one frame is in memory. Pillow's own writers keep all of them. A frame holds
only the part that differs from the frame before it.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import BinaryIO, NamedTuple, TypeAlias

from PIL import Image, ImageChops

from hsr_hub.images.png import SIGNATURE, read_chunks, to_chunk

Encoder: TypeAlias = "Callable[[Image.Image, BinaryIO, bool], None]"
"""Writes an image to a file; the flag says whether its metadata are written too."""

# Flags of a WebP
WEBP_ANIMATION = 0x02
WEBP_ALPHA = 0x10
WEBP_REPLACE = 0x02
"""The pixels of a frame replace those below it."""

GIF_KEEP, GIF_CLEAR = 1, 2
"""Whether a frame stays below the next one, or is removed before."""


class Part(NamedTuple):
    """The part of a frame that differs from the frame before it."""

    image: Image.Image
    left: int
    top: int
    duration: float
    """Milliseconds."""


def write_animation(
    format: str,
    frames: Iterable[tuple[Image.Image, float]],
    count: int,
    plays: int,
    file: BinaryIO,
    encode: Encoder,
) -> None:
    """Write an animation.

    Args:
        format: "PNG", "WEBP" or "GIF".
        frames: Images of one size in RGB or RGBA, all in the same mode, with their durations in
            milliseconds.
        count: The number of frames.
        plays: How often the animation is played; 0 stands for endlessly.
        file: The output file, which is empty.
        encode: Writes one frame in the format.

    Raises:
        ValueError: The format has no writer here.
    """
    if format == "GIF":
        _write_gif(_parts(frames, replace=False), plays, file, encode)
    elif format == "PNG":
        _write_apng(_parts(frames), count, plays, file, encode)
    elif format == "WEBP":
        _write_webp(_parts(frames, step=2), plays, file, encode)
    else:
        raise ValueError(f"there is no writer of animations in {format}: add one here")


def _parts(
    frames: Iterable[tuple[Image.Image, float]], step: int = 1, replace: bool = True
) -> Iterator[Part]:
    """Yield the first frame, and of each other one the part that differs.

    Args:
        frames: The frames.
        step: The offsets of parts are multiples of it.
        replace: Whether a transparent pixel replaces the one below it. Otherwise transparent frames
            are not cut.
    """
    previous = None
    for image, duration in frames:
        left, top, right, bottom = 0, 0, *image.size
        if previous is not None and (replace or image.mode == "RGB"):
            difference = ImageChops.difference(previous, image)
            # A frame has at least one pixel.
            left, top, right, bottom = difference.getbbox(alpha_only=False) or (0, 0, 1, 1)
            left, top = left - left % step, top - top % step
        yield Part(image.crop((left, top, right, bottom)), left, top, duration)
        previous = image


def _encoded(part: Part, encode: Encoder, first: bool) -> bytes:
    buffer = io.BytesIO()
    encode(part.image, buffer, first)
    return buffer.getvalue()


def _write_apng(
    parts: Iterator[Part], count: int, plays: int, file: BinaryIO, encode: Encoder
) -> None:
    number = 0  # of the chunks of the animation
    for part in parts:
        chunks = list(read_chunks(_encoded(part, encode, first=number == 0)))
        pixels = [chunk.data for chunk in chunks if chunk.kind == b"IDAT"]
        first = number == 0
        if first:
            file.write(SIGNATURE)
            for chunk in chunks:
                if chunk.kind == b"IDAT":
                    break
                file.write(to_chunk(chunk.kind, chunk.data))
            file.write(to_chunk(b"acTL", struct.pack(">2I", count, plays)))
        place = (*part.image.size, part.left, part.top)
        # Two zeros: the frame stays, and its pixels replace those below it.
        control = struct.pack(">5I2H2B", number, *place, *_delay(part.duration), 0, 0)
        file.write(to_chunk(b"fcTL", control))
        number += 1
        for data in pixels:
            if first:
                file.write(to_chunk(b"IDAT", data))
            else:
                file.write(to_chunk(b"fdAT", struct.pack(">I", number) + data))
                number += 1
    file.write(to_chunk(b"IEND", b""))


def _delay(duration: float) -> tuple[int, int]:
    """Return milliseconds as a fraction of seconds with 16 bits each."""
    seconds = Fraction(duration / 1000).limit_denominator(1000)
    if seconds.numerator > 65535:
        return min(65535, round(seconds)), 1
    return seconds.numerator, seconds.denominator


def _write_webp(parts: Iterator[Part], plays: int, file: BinaryIO, encode: Encoder) -> None:
    metadata: dict[bytes, bytes] = {}
    for index, part in enumerate(parts):
        chunks = dict(_webp_chunks(_encoded(part, encode, first=index == 0)))
        if index == 0:
            metadata = chunks
            flags = chunks.get(b"VP8X", b"\0")[0] & ~WEBP_ALPHA | WEBP_ANIMATION
            if part.image.mode == "RGBA":
                flags |= WEBP_ALPHA
            width, height = part.image.size
            canvas = bytes((flags, 0, 0, 0)) + _three_bytes(width - 1) + _three_bytes(height - 1)
            file.write(b"RIFF\0\0\0\0WEBP" + _webp_chunk(b"VP8X", canvas))
            if b"ICCP" in chunks:
                file.write(_webp_chunk(b"ICCP", chunks[b"ICCP"]))
            # A transparent background, which players ignore.
            file.write(_webp_chunk(b"ANIM", struct.pack("<IH", 0, plays)))
        numbers = (
            part.left // 2,
            part.top // 2,
            part.image.width - 1,
            part.image.height - 1,
            min(round(part.duration), 2**24 - 1),
        )
        header = b"".join(map(_three_bytes, numbers)) + bytes((WEBP_REPLACE,))
        pixels = (kind for kind in (b"ALPH", b"VP8 ", b"VP8L") if kind in chunks)
        data = b"".join(_webp_chunk(kind, chunks[kind]) for kind in pixels)
        file.write(_webp_chunk(b"ANMF", header + data))
    for kind in (b"EXIF", b"XMP "):
        if kind in metadata:
            file.write(_webp_chunk(kind, metadata[kind]))
    size = file.tell() - 8
    if size >= 2**32:
        raise ValueError("a WebP holds 4 GB: choose PNG")
    file.seek(4)
    file.write(struct.pack("<I", size))


def _three_bytes(number: int) -> bytes:
    return number.to_bytes(3, "little")


def _webp_chunk(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        [length] = struct.unpack_from("<I", data, at + 4)
        yield data[at : at + 4], data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _write_gif(parts: Iterator[Part], plays: int, file: BinaryIO, encode: Encoder) -> None:
    size = None
    for part in parts:
        data = _encoded(part, encode, first=size is None)
        table, transparent, pixels, comments = _split_gif(data)
        if size is None:
            size = part.image.size
            file.write(b"GIF89a" + struct.pack("<2H3B", *size, 0, 0, 0))
            if plays != 1:
                repetitions = min(plays - 1, 65535) if plays else 0
                application = b"\x21\xff\x0bNETSCAPE2.0\x03\x01"
                file.write(application + struct.pack("<H", repetitions) + b"\0")
            file.write(comments)
        disposal = GIF_KEEP if part.image.mode == "RGB" else GIF_CLEAR
        flags = disposal << 2 | (transparent is not None)
        delay = min(round(part.duration / 10), 65535)
        file.write(struct.pack("<4BH2B", 0x21, 0xF9, 4, flags, delay, transparent or 0, 0))
        place = (part.left, part.top, *part.image.size)
        table_size = (len(table) // 3).bit_length() - 2
        file.write(b"," + struct.pack("<4HB", *place, 0x80 | table_size) + table + pixels)
    file.write(b";")


def _split_gif(data: bytes) -> tuple[bytes, int | None, bytes, bytes]:
    """Take a GIF of one frame apart.

    Returns:
        The table of colours, the index of the transparent one, the compressed pixels with the size
        of their codes, and the comments.
    """
    at, table, transparent, comments = 13, b"", None, b""
    if data[10] & 0x80:
        length = 6 << (data[10] & 7)
        table, at = data[at : at + length], at + length
    while data[at : at + 1] == b"!":
        start, kind, at = at, data[at + 1], at + 2
        if kind == 0xF9 and data[at + 1] & 1:
            transparent = data[at + 4]
        while data[at]:
            at += data[at] + 1
        at += 1
        if kind == 0xFE:
            comments += data[start:at]
    flags, at = data[at + 9], at + 10
    if flags & 0x80:
        length = 6 << (flags & 7)
        table, at = data[at : at + length], at + length
    return table, transparent, data[at : data.rindex(b";")], comments
