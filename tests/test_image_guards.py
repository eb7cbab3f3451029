"""Files that are made to cost far more than their size promises are refused by their header."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from hsr_hub.images import ImageError, read_image
from hsr_hub.images.guards import MAX_JPEG_SCANS, count_jpeg_scans


def many_scans(path: Path, scans: int = 3000) -> None:
    Image.new("RGB", (2000, 1500), "grey").save(path, progressive=True, quality=20)
    data = path.read_bytes()
    start, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    path.write_bytes(data[:start] + data[start:end] * scans + data[end:])


def tiff(entries: list[tuple[int, int, list[int]]], strip: bytes) -> bytes:
    """Return a TIFF with one strip; the offset in tag 273 is filled in."""
    after = 8 + 2 + 12 * len(entries) + 4
    directory, values = struct.pack("<H", len(entries)), b""
    total = sum(len(numbers) * 2 for _, kind, numbers in entries if kind == 3 and len(numbers) > 2)
    for tag, kind, numbers in entries:
        numbers = [after + total] if tag == 273 else numbers
        data = struct.pack(f"<{len(numbers)}" + {3: "H", 4: "I"}[kind], *numbers)
        if len(data) > 4:
            data, values = struct.pack("<I", after + len(values)), values + data
        directory += struct.pack("<HHI", tag, kind, len(numbers)) + data.ljust(4, b"\0")
    return b"II*\0\x08\0\0\0" + directory + bytes(4) + values + strip


def tiff_twice(path: Path, tag: int = 256, others: tuple[int, int] = (4000, 3000)) -> None:
    """Write a TIFF whose size, or another tag, has two values."""
    width, height = others
    strip = zlib.compress(bytes(width * height * 6))
    entries = [
        *((256, 4, [side]) for side in ([width, 8] if tag == 256 else [8])),
        *((257, 4, [side]) for side in ([height, 8] if tag == 256 else [8])),
        (258, 3, [16] * 3),
        (259, 3, [8]),
        (262, 3, [2]),
        (273, 4, [0]),
        *((277, 3, [n]) for n in ([4, 3] if tag == 277 else [3])),
        (278, 4, [height]),
        (279, 4, [len(strip)]),
        *((339, 3, [n] * 3) for n in ([2, 1] if tag == 339 else [1])),
    ]
    path.write_bytes(tiff(entries, strip))


@pytest.mark.parametrize("tag", [256, 277, 339])
def test_a_tiff_is_decoded_as_its_header_was_judged(tmp_path: Path, tag: int):
    """Pillow and libtiff use different values of a tag that is there twice."""
    path = tmp_path / "twice.tif"
    tiff_twice(path, tag, (4000, 3000) if tag == 256 else (8, 8))
    with pytest.raises(ImageError, match=r"twice\.tif .*(contradictory|signed)"):
        read_image(path, max_pixels=1_000_000)


def test_scans_are_counted_as_libjpeg_reads_them(tmp_path: Path):
    path = tmp_path / "image.jpg"
    many_scans(path, 20)
    data = path.read_bytes()
    assert count_jpeg_scans(data) == 29
    # Those in metadata and behind the image do not count.
    comment = b"\xff\xda" * 500
    segment = b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment
    harmless = data[:2] + segment + data[2:] + comment
    assert count_jpeg_scans(harmless) == 29
    path.write_bytes(harmless)
    assert read_image(path).size == (2000, 1500)
    many_scans(path, MAX_JPEG_SCANS)
    with path.open("rb") as file, pytest.raises(ImageError, match="scans"):
        read_image(file)


def test_scans_cannot_hide_in_a_segment_that_libjpeg_skips(tmp_path: Path):
    path = tmp_path / "image.jpg"
    many_scans(path, 3)
    data = path.read_bytes()
    start = data.rindex(b"\xff\xda")
    hidden = data[:start] + b"\xff\x02\x70\x00" + data[start:]
    assert count_jpeg_scans(hidden) == count_jpeg_scans(data)
