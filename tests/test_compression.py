"""The codec of a file, and the quality with which it was compressed."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hsr_hub.images.compression import (
    STANDARD_LUMA,
    estimate_jpeg_quality,
    file_compression,
    read_compression,
)

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    image = Image.open(EXAMPLES / "cat.png").convert("RGB")
    return image.resize((image.width // 2, image.height // 2))


def file_of(image: Image.Image, format: str = "PNG", **options) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, format, **options)
    file.seek(0)
    return file


@settings(max_examples=40)
@given(st.integers(20, 95), st.sampled_from([0, 1, 2]))
def test_jpeg_quality_is_read_back(quality, subsampling):
    image = Image.new("RGB", (16, 16), (90, 120, 60))
    codec, found = read_compression(
        file_of(image, "JPEG", quality=quality, subsampling=subsampling)
    )
    assert codec == "JPEG" and found is not None
    assert abs(found - quality) <= 2


@given(st.integers(20, 95), st.integers(0, 2**32 - 1))
def test_tables_that_are_not_standard_have_the_closest_quality(quality, seed):
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    wobble = np.random.default_rng(seed).uniform(0.8, 1.25, 64)
    table = np.maximum(1, STANDARD_LUMA * percent / 100 * wobble).round()
    found = estimate_jpeg_quality(table)
    assert found is not None
    assert abs(found - quality) <= 8


def test_grey_and_cmyk_jpegs_have_a_quality():
    for mode in ("L", "CMYK"):
        file = file_of(Image.new(mode, (20, 20)), "JPEG", quality=60)
        assert read_compression(file) == ("JPEG", 60)


def test_a_broken_table_has_no_quality():
    assert estimate_jpeg_quality([1, 2, 3]) is None


@pytest.mark.parametrize("method", [0, 4, 6])
@pytest.mark.parametrize("options", [{}, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"}])
def test_webp_quality_is_read_back(photo: Image.Image, method: int, options: dict[str, bytes]):
    found = []
    for quality in (10, 30, 50, 70, 80, 90, 95, 100):
        file = file_of(photo, "WEBP", quality=quality, method=method, **options)
        codec, number = read_compression(file)
        assert codec == "WEBP" and number is not None
        # libwebp varies the strength by what is in the image, most of all at low qualities.
        assert abs(number - quality) <= (2 if quality >= 90 else 15)
        found.append(number)
    assert found == sorted(found)


def test_the_quality_of_an_animated_webp_is_that_of_its_first_frame(photo: Image.Image):
    frames = {"save_all": True, "append_images": [photo.rotate(90)]}
    alone, moving = (
        read_compression(file_of(photo, "WEBP", quality=90, **o)) for o in ({}, frames)
    )
    assert moving[0] == "WEBP" and moving[1] is not None and alone[1] is not None
    assert abs(moving[1] - alone[1]) <= 2


def test_codecs(photo: Image.Image):
    small = photo.crop((0, 0, 32, 32))
    frames = {"save_all": True, "append_images": [small.rotate(90)]}
    alpha = small.convert("RGBA")
    alpha.putalpha(100)
    files = {
        "PNG": [file_of(small)],
        "WEBP": [
            file_of(small, "WEBP"),
            file_of(alpha, "WEBP"),  # an extended file, with an alpha chunk before the image
            file_of(small, "WEBP", **frames),
        ],
        "WEBP-lossless": [
            file_of(small, "WEBP", lossless=True),
            file_of(small, "WEBP", lossless=True, **frames),
        ],
        "AVIF": [file_of(small, "AVIF")],
        "GIF": [file_of(small, "GIF")],
        "BMP": [file_of(small, "BMP")],
        "TIFF": [file_of(small, "TIFF")],
    }
    for codec, variants in files.items():
        for file in variants:
            found, quality = read_compression(file)
            assert (found, quality is None) == (codec, codec != "WEBP")
            assert file.tell() == 0


VP8 = b"RIFF\x40\0\0\0WEBPVP8 \x40\0\0\0\x10\x02\0\x9d\x01\x2a\x10\0\x10\0"


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP", VP8]))
def test_broken_headers_never_fail(data, start):
    _, quality = read_compression(io.BytesIO(start + data))
    assert quality is None or 1 <= quality <= 100


def test_missing_and_existing_paths(tmp_path: Path, photo: Image.Image):
    path = tmp_path / "photo.jpg"
    assert file_compression(path) == ("", None)
    photo.save(path, quality=40)
    assert file_compression(path) == file_compression(str(path)) == ("JPEG", 40)
