"""The chunks of PNG files."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from PIL.PngImagePlugin import MAX_TEXT_CHUNK

from hsr_hub.images.exif import PREFIX
from hsr_hub.images.metadata import Metadata

COMPRESSED_TEXTS = {b"iCCP", b"zTXt", b"iTXt"}

MAX_LOSSES = 10
"""Sentences about a file. One that is made to do harm has thousands of damaged chunks."""

SIGNATURE = b"\x89PNG\r\n\x1a\n"


class Chunk(NamedTuple):
    """A chunk of a PNG."""

    kind: bytes
    data: bytes
    start: int
    """Offset of the chunk in the file."""
    sound: bool
    """Whether the checksum is right."""

    @property
    def critical(self) -> bool:
        """Whether the image cannot be decoded without the chunk."""
        return self.kind[:1].isupper()


def read_chunks(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks of a PNG up to its end, or up to the place where it is cut off."""
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 8 + length]
        checksum = data[at + 8 + length : at + 12 + length]
        if len(checksum) < 4:
            return
        sound = zlib.crc32(body) == int.from_bytes(checksum, "big")
        yield Chunk(body[:4], body[4:], at, sound)
        if body[:4] == b"IEND":
            return
        at += 12 + length


def repair(data: bytes) -> tuple[bytes, list[str]]:
    """Return a PNG without chunks at which Pillow would fail, and what was wrong with it.

    Optional chunks with a wrong checksum, and those that unpack to more than Pillow's limit, are
    left out. The checksums of the necessary ones are made right, because the compressed pixels
    have another checksum.
    """
    parts, losses = [SIGNATURE], []
    end = len(SIGNATURE)
    for chunk in read_chunks(data):
        start, end = chunk.start, chunk.start + 12 + len(chunk.data)
        name = chunk.kind.decode("ascii", "replace")
        if not chunk.critical and not chunk.sound:
            losses.append(f"its damaged chunk {name} is left out")
        elif chunk.kind in COMPRESSED_TEXTS and _unpacks_to_too_much(chunk):
            name = "its colour profile" if chunk.kind == b"iCCP" else f"its chunk {name}"
            losses.append(f"{name} of more than {MAX_TEXT_CHUNK >> 20} MB is left out")
        elif not chunk.sound:
            losses.append(f"the checksum of its chunk {name} is wrong, so it may be damaged")
            parts.append(to_chunk(chunk.kind, chunk.data))
        else:
            parts.append(data[start:end])
    if not losses:
        return data, []
    losses = list(dict.fromkeys(losses))
    if len(losses) > MAX_LOSSES:
        losses[MAX_LOSSES:] = ["more of its chunks are damaged or too large"]
    return b"".join(parts) + data[end:], losses


def _unpacks_to_too_much(chunk: Chunk) -> bool:
    _, _, rest = chunk.data.partition(b"\0")
    if chunk.kind == b"iTXt":
        if rest[:1] != b"\1":
            return False
        rest = rest[1:].split(b"\0", 2)[-1]
    unpacker = zlib.decompressobj()
    try:
        unpacker.decompress(rest[1:], MAX_TEXT_CHUNK)
    except zlib.error:
        return False
    return bool(unpacker.unconsumed_tail)


def to_chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk as it is in a file."""
    body = kind + data
    return len(data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")


def write_with_metadata(data: bytes, path: Path, metadata: Metadata) -> None:
    """Write a PNG with metadata in place of its own.

    Args:
        data: The PNG, without metadata except a resolution.
        path: The output file.
        metadata: The metadata to store.
    """
    header, first = b"", len(data)
    for chunk in read_chunks(data):
        if chunk.kind == b"IDAT":
            first = chunk.start
            break
        if chunk.critical:
            header += to_chunk(chunk.kind, chunk.data)
    if metadata.icc_profile:
        header += to_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc_profile))
    if metadata.dpi:
        per_metre = [round(value / 0.0254).to_bytes(4, "big") for value in metadata.dpi]
        header += to_chunk(b"pHYs", b"".join(per_metre) + b"\1")
    if metadata.exif:
        header += to_chunk(b"eXIf", metadata.exif.removeprefix(PREFIX))
    for kind, text, *_ in metadata.png_texts().chunks:
        header += to_chunk(kind, text)
    with path.open("wb") as file:
        file.write(SIGNATURE + header)
        file.write(memoryview(data)[first:])
