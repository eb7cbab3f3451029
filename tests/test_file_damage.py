"""Raw files, unusual TIFFs and damaged PNGs are named for what they are, or read."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hsr_hub.images import ImageData, ImageError, ImageWarning, read_image, write_image
from hsr_hub.images.png import SIGNATURE, read_chunks, to_chunk
from tests.test_image_guards import tiff

SIDE = 8


def tiff_file(path: Path, channels: int = 3, bits: int = 8, **tags: list[int]) -> None:
    """Write an uncompressed TIFF of zeros, with more tags such as t339=[2]."""
    strip = bytes(SIDE * SIDE * channels * bits // 8)
    entries = {
        256: (4, [SIDE]),
        257: (4, [SIDE]),
        258: (3, [bits] * channels),
        259: (3, [1]),
        262: (3, [2 if channels >= 3 else 1]),
        273: (4, [0]),
        277: (3, [channels]),
        278: (4, [SIDE]),
        279: (4, [len(strip)]),
    }
    entries |= {int(name[1:]): (3, numbers) for name, numbers in tags.items()}
    rows = [(tag, kind, numbers) for tag, (kind, numbers) in sorted(entries.items())]
    path.write_bytes(tiff(rows, strip))


RAW = r"is a raw file of a camera: develop it first"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"t254": [1], "t330": [8]}, RAW),  # NEF, ARW: a thumbnail first
        ({"t254": [1], "t50706": [1, 4, 0, 0]}, RAW),  # DNG
        ({"channels": 1, "t262": [32803]}, RAW),
        ({"channels": 1, "bits": 16, "t339": [2]}, "has signed 16-bit values"),
        ({"channels": 3, "bits": 32, "t339": [3] * 3}, "has floating-point values"),
        ({"channels": 5, "t338": [0, 0]}, "has 5 channels, 2 more than its colours need"),
        ({"t284": [2], "t322": [SIDE], "t323": [SIDE]}, "has tiles with separate planes"),
        ({"t259": [50001]}, "3 channels of 8 bits with the compression WebP"),
        ({"t259": [34887]}, "the compression LERC"),
        ({"t258": [7, 7, 7]}, "3 channels of 7 bits with the compression 1"),
    ],
)
def test_tiff_is_refused_for_what_it_is(tmp_path: Path, capfd, options: dict, named: str):
    path = tmp_path / "photo.tif"
    tiff_file(path, **options)
    for source in (path, io.BytesIO(path.read_bytes())):
        with pytest.raises(ImageError, match=named) as error:
            read_image(source)
        assert "damaged" not in str(error.value)
    assert capfd.readouterr().err == ""


def test_raw_file_is_known_by_its_name_too(tmp_path: Path):
    tiff_file(tmp_path / "a.nef")
    with pytest.raises(ImageError, match=r"a\.nef " + RAW):
        read_image(tmp_path / "a.nef")
    tiff_file(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif").size == (SIDE, SIDE)


@pytest.mark.parametrize("bits", [8, 16])
def test_inverted_grey_is_not_negative(tmp_path: Path, bits: int):
    tiff_file(tmp_path / "white.tif", channels=1, bits=bits, t262=[0])
    image = read_image(tmp_path / "white.tif")
    assert image.array.dtype == f"uint{bits}"
    assert (image.array == 2**bits - 1).all()


def test_twelve_bits_use_the_whole_range(tmp_path: Path):
    tiff_file(tmp_path / "deep.tif", channels=1, bits=16)
    data = bytearray((tmp_path / "deep.tif").read_bytes())
    data[data.index(struct.pack("<HHIH", 258, 3, 1, 16)) + 8] = 12
    data[-128:] = b"\xff" * 128
    (tmp_path / "deep.tif").write_bytes(data)
    assert (read_image(tmp_path / "deep.tif").array == 65535).all()


def png_parts(image: Image.Image, **options) -> list[tuple[bytes, bytes]]:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return [(chunk.kind, chunk.data) for chunk in read_chunks(buffer.getvalue())]


def join(parts: list[tuple[bytes, bytes]], broken: bytes = b"") -> bytes:
    """Return a PNG, in which the chunks of one kind have a wrong checksum."""
    out = SIGNATURE
    for kind, data in parts:
        chunk = to_chunk(kind, data)
        out += chunk[:-4] + b"oops" if kind == broken else chunk
    return out


@pytest.mark.parametrize("kind", [b"tEXt", b"PLTE", b"IHDR", b"IDAT", b"IEND"])
@pytest.mark.parametrize("deep", [False, True])
def test_wrong_checksum_does_not_cost_the_image(tmp_path, small_photo, kind: bytes, deep: bool):
    if deep:
        array = np.asarray(small_photo).astype(np.uint16) * 257
        write_image(ImageData(array), tmp_path / "deep.png")
        data = (tmp_path / "deep.png").read_bytes()
        parts = [(chunk.kind, chunk.data) for chunk in read_chunks(data)]
    else:
        source = small_photo.quantize(16) if kind == b"PLTE" else small_photo
        array = np.asarray(source.convert("RGB"))
        parts = png_parts(source)
    text = (b"tEXt", b"Title\0hello")
    (tmp_path / "a.png").write_bytes(join([parts[0], text, *parts[1:], text], kind))
    if deep and kind == b"PLTE":
        pytest.skip("16 bits have no palette")
    with pytest.warns(ImageWarning, match=rf"a\.png: .*chunk {kind.decode()}"):
        image = read_image(tmp_path / "a.png")
    assert np.array_equal(image.array, array)
    assert image.metadata.text == (None if kind == b"tEXt" else {"Title": "hello"})


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt", b"iTXt"])
def test_oversized_chunk_is_left_out(tmp_path: Path, small_photo, kind: bytes):
    start = {b"iCCP": b"icc\0\0", b"zTXt": b"key\0\0", b"iTXt": b"key\0\1\0\0\0"}[kind]
    data = start + zlib.compress(bytes(3 << 20))
    parts = png_parts(small_photo)
    (tmp_path / "a.png").write_bytes(join([parts[0], (kind, data), *parts[1:]]))
    with pytest.warns(ImageWarning, match="of more than 1 MB is left out"):
        image = read_image(tmp_path / "a.png")
    assert np.array_equal(image.array, np.asarray(small_photo))


def test_sound_png_is_read_as_it_is(tmp_path: Path, small_photo, recwarn):
    parts = png_parts(small_photo)
    large = (b"iTXt", b"key\0\0\0\0\0" + b"x" * (2 << 20))  # not compressed
    (tmp_path / "a.png").write_bytes(join([parts[0], large, *parts[1:]]))
    text = read_image(tmp_path / "a.png").metadata.text
    assert text is not None and len(text["key"]) == 2 << 20
    assert not recwarn.list
