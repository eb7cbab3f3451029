"""Colours that a file describes without a profile get one in the result."""

from __future__ import annotations

import io
import struct
import warnings
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from hsr_hub.images import ImageWarning, read_image, write_image
from hsr_hub.images.profiles import CodePoints, make_profile
from tests.test_file_damage import join, png_parts
from tests.test_image_kinds import profile

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 120, 40), (128, 128, 128), (30, 40, 50)]


def swatches() -> Image.Image:
    return Image.fromarray(np.array([COLOURS], np.uint8).repeat(4, 0).repeat(4, 1))


def in_srgb(image: Image.Image, icc: bytes) -> np.ndarray:
    """Return the colours on an sRGB screen."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    converted = ImageCms.profileToProfile(
        image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    assert converted is not None
    return np.asarray(converted).astype(int)


def test_made_profile_is_that_of_libvips():
    made = CodePoints(12, 13).profile()
    assert made is not None
    difference = in_srgb(swatches(), made) - in_srgb(swatches(), profile("p3"))
    assert np.abs(difference).max() <= 2
    for points in (CodePoints(1, 13), CodePoints(2, 2), CodePoints(9, 16), CodePoints(77, 13)):
        assert points.profile() is None
    assert make_profile((0.0,) * 6, (0.3, 0.0), (2.2,)) is None


def png_with(path: Path, kind: bytes, data: bytes, *more: tuple[bytes, bytes]) -> None:
    parts = png_parts(swatches())
    path.write_bytes(join([parts[0], (kind, data), *more, *parts[1:]]))


def test_code_points_of_a_png_reach_every_format(tmp_path: Path):
    png_with(tmp_path / "p3.png", b"cICP", bytes((12, 13, 0, 1)))
    image = read_image(tmp_path / "p3.png")
    made = image.metadata.icc_profile
    assert made is not None
    expected = in_srgb(swatches(), profile("p3"))
    assert np.abs(in_srgb(swatches(), made) - expected).max() <= 2
    for suffix in ("png", "jpg", "webp", "avif", "tif"):
        write_image(image, tmp_path / f"out.{suffix}")
        assert read_image(tmp_path / f"out.{suffix}").metadata.icc_profile == made


def test_gamma_and_primaries_of_a_png(tmp_path: Path):
    path = tmp_path / "a.png"
    png_with(path, b"gAMA", struct.pack(">I", 100_000))
    linear = read_image(path).metadata.icc_profile
    assert linear is not None
    middle = in_srgb(Image.new("RGB", (1, 1), (55, 55, 55)), linear)
    assert np.abs(middle - 128).max() <= 2  # 55/255 of the light is 128 in sRGB
    chromaticities = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
    png_with(
        path, b"gAMA", struct.pack(">I", 45_455), (b"cHRM", struct.pack(">8I", *chromaticities))
    )
    p3 = read_image(path).metadata.icc_profile
    assert p3 is not None
    assert np.abs(in_srgb(swatches(), p3) - in_srgb(swatches(), profile("p3"))).max() <= 2
    png_with(path, b"gAMA", struct.pack(">I", 45_455))
    assert read_image(path).metadata.icc_profile is None
    png_with(path, b"gAMA", struct.pack(">I", 100_000), (b"sRGB", b"\0"))
    assert read_image(path).metadata.icc_profile is None


def test_grey_with_a_gamma_gets_a_grey_profile(tmp_path: Path):
    parts = png_parts(swatches().convert("L"))
    gamma = (b"gAMA", struct.pack(">I", 100_000))
    (tmp_path / "grey.png").write_bytes(join([parts[0], gamma, *parts[1:]]))
    icc = read_image(tmp_path / "grey.png").metadata.icc_profile
    assert icc is not None and icc[16:20] == b"GRAY"
    assert ImageCms.ImageCmsProfile(io.BytesIO(icc))


@pytest.mark.parametrize("suffix", ["avif", "heic"])
def test_code_points_of_avif_and_heic(tmp_path: Path, suffix: str):
    path = tmp_path / f"a.{suffix}"
    if suffix == "heic":
        heif = pillow_heif.from_pillow(swatches())
        heif.save(path, color_primaries=12, transfer_characteristics=13)
    else:
        swatches().save(path, quality=100)
        data = bytearray(path.read_bytes())
        at = data.index(b"colrnclx") + 8
        data[at : at + 4] = struct.pack(">2H", 12, 13)
        path.write_bytes(data)
    icc = read_image(path).metadata.icc_profile
    assert icc is not None
    expected = in_srgb(swatches(), profile("p3"))
    assert np.abs(in_srgb(swatches(), icc) - expected).max() <= 2


def test_hdr_is_mentioned(tmp_path: Path):
    for transfer, name in ((16, "PQ"), (18, "HLG")):
        png_with(tmp_path / "hdr.png", b"cICP", bytes((9, transfer, 0, 1)))
        with pytest.warns(ImageWarning, match=rf"hdr\.png: its HDR colours \({name}\)"):
            read_image(tmp_path / "hdr.png")


def test_broken_colour_descriptions_are_ignored(tmp_path: Path):
    for kind, data in ((b"gAMA", bytes(4)), (b"cHRM", bytes(32)), (b"cHRM", bytes(8))):
        png_with(tmp_path / "a.png", kind, data, (b"gAMA", struct.pack(">I", 1)))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert read_image(tmp_path / "a.png").size == (24, 4)
