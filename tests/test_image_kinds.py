"""Upscaling keeps depth, colours, alpha, orientation and metadata of every kind of image."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from benchmarks.edge_cases import make, profile
from hsr_hub import HSRNet
from hsr_hub.images import (
    JPEG_SEGMENT,
    ImageData,
    ImageError,
    ImageWarning,
    Metadata,
    read_image,
    read_pil,
    write_image,
)
from hsr_hub.inference import upscale_image


@pytest.fixture(scope="module")
def edge_cases(tmp_path_factory) -> Path:
    """A folder with one file of every kind."""
    folder = tmp_path_factory.mktemp("edge_cases")
    make(folder)
    return folder


@pytest.fixture(scope="module")
def shipped() -> HSRNet:
    return HSRNet.from_pretrained("hsr-lite-x4")


@pytest.fixture(scope="module")
def upscaled(shipped: HSRNet, edge_cases: Path) -> Callable[[str], ImageData]:
    """A function from the name of a file to its result; each file is computed once."""

    @cache
    def compute(name: str) -> ImageData:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImageWarning)
            return upscale_image(shipped, read_image(edge_cases / name))

    return compute


def through_file(image: ImageData, path: Path) -> ImageData:
    """Write an image and read it again."""
    write_image(image, path)
    return read_image(path)


def mean_4x4(array: np.ndarray) -> np.ndarray:
    """Means of 4x4 pixels, which are close to the source if the result is faithful to it."""
    height, width = array.shape[0] // 4, array.shape[1] // 4
    return array.reshape(height, 4, width, 4, -1).mean((1, 3)).squeeze()


@pytest.mark.parametrize(
    ("name", "shape", "depth"),
    [
        ("rotated.jpg", (320, 240, 3), np.uint8),
        ("mirrored.tif", (320, 240, 3), np.uint8),
        ("cmyk.jpg", (240, 320, 3), np.uint8),
        ("lab.tif", (240, 320, 3), np.uint8),
        ("grey.png", (240, 320), np.uint8),
        ("one_bit.png", (240, 320), np.uint8),
        ("grey16.png", (240, 320), np.uint16),
        ("rgb16.png", (240, 320, 3), np.uint16),
        ("rgb16.tif", (240, 320, 3), np.uint16),
        ("rgba16.png", (240, 320, 4), np.uint16),
        ("grey_alpha16.png", (240, 320, 2), np.uint16),
        ("palette.png", (240, 320, 4), np.uint8),
        ("alpha.png", (240, 320, 4), np.uint8),
        ("alpha.webp", (240, 320, 4), np.uint8),
        ("animation.gif", (240, 320, 3), np.uint8),
        ("pages.tif", (240, 320, 3), np.uint8),
        ("photo.avif", (240, 320, 3), np.uint8),
        ("photo.bmp", (240, 320, 3), np.uint8),
        ("dot.png", (4, 4, 3), np.uint8),
        ("line.png", (4, 1200, 3), np.uint8),
    ],
)
def test_shape_and_depth_are_kept(upscaled, edge_cases, tmp_path, name, shape, depth):
    for suffix in ("png", "tif"):
        array = through_file(upscaled(name), tmp_path / f"out.{suffix}").array
        if suffix == "tif" and name == "grey_alpha16.png":  # written as RGB and alpha
            array = array[:, :, [0, 3]]
        assert (array.shape, array.dtype) == (shape, depth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)
        source = read_image(edge_cases / name).array
    if name in {"one_bit.png", "palette.png"} or source.shape[2:] in {(2,), (4,)}:
        return  # colours under transparency change, and dither does not survive
    difference = mean_4x4(array) - source.squeeze()
    assert abs(difference.mean()) < 0.004 * np.iinfo(depth).max
    assert abs(difference).mean() < 0.02 * np.iinfo(depth).max


def test_sixteen_bits_are_kept_from_file_to_file(shipped, upscaled, edge_cases, tmp_path):
    """The results have values between the steps of 8 bits."""
    for name in ("rgb16.png", "rgb16.tif", "rgba16.png", "grey16.png", "grey_alpha16.png"):
        out = through_file(upscaled(name), tmp_path / "out.png").array
        assert np.array_equal(upscaled(name).array, out)
        assert len(np.unique(out % 257)) == 257
    source = read_image(edge_cases / "rgb16.png").array[:40, :40]
    write_image(ImageData(source), tmp_path / "part.png")
    assert np.array_equal(shipped.upscale(source), upscale_image(shipped, ImageData(source)).array)
    with pytest.warns(ImageWarning, match="16-bit"):
        assert shipped.upscale(tmp_path / "part.png").mode == "RGB"
    eight = read_pil(edge_cases / "rgb16.png")
    expected = np.rint(read_image(edge_cases / "rgb16.png").array / 257)
    assert np.array_equal(np.asarray(eight), expected)


def test_sixteen_bit_files_are_turned_upright(edge_cases, tmp_path):
    pixels = read_image(edge_cases / "rgb16.png").array
    exif = Image.Exif()
    for orientation in range(1, 9):
        exif[274] = orientation
        path = tmp_path / "turned.tif"
        write_image(ImageData(pixels, Metadata(exif=exif.tobytes())), path)
        with Image.open(path) as opened:
            assert opened.getexif().get(274, 1) == orientation
        eight = tmp_path / "eight.png"
        Image.fromarray((pixels // 257).astype(np.uint8)).save(eight, exif=exif)
        expected = read_image(eight).array  # turned by Pillow
        assert np.array_equal(read_image(path).array // 257, expected)


def test_exif_and_xmp_are_kept_with_the_new_size(upscaled, tmp_path):
    for suffix in ("jpg", "png", "webp", "tif", "avif"):
        write_image(upscaled("rotated.jpg"), tmp_path / f"out.{suffix}")
        with Image.open(tmp_path / f"out.{suffix}") as image:
            assert image.size == (240, 320)
            exif = image.getexif()
            details = exif.get_ifd(ExifTags.IFD.Exif)
            place = exif.get_ifd(ExifTags.IFD.GPSInfo)
            xmp = image.info.get("xmp", b"")
            dpi = image.info.get("dpi")
        assert exif[271] == "Maker"
        assert exif.get(274, 1) == 1
        assert (details[0xA002], details[0xA003]) == (240, 320)
        assert float(details[0x829A]) == pytest.approx(0.01)
        assert place[1] == "N"
        xmp = xmp.encode() if isinstance(xmp, str) else xmp
        assert b'tiff:Orientation="1"' in xmp
        assert b'tiff:ImageWidth="240"' in xmp
        assert b"somebody" in xmp
        if suffix in {"jpg", "png", "tif"}:
            assert dpi == pytest.approx((300, 300), abs=0.1)


def test_wide_gamut_colours_are_kept(upscaled, edge_cases, tmp_path):
    for name in ("wide_gamut.png", "rgb16.png"):
        for suffix in ("png", "tif", "jpg", "webp", "avif"):
            result = through_file(upscaled(name), tmp_path / f"out.{suffix}")
            assert result.metadata.icc_profile == profile("p3")
        before, after = (lab(read_pil(p)) for p in (edge_cases / name, tmp_path / "out.png"))
        difference = np.linalg.norm(mean_4x4(after) - before, axis=-1)
        assert difference.mean() < 2
        assert np.abs((mean_4x4(after) - before).mean((0, 1))).max() < 0.5


def lab(image: Image.Image) -> np.ndarray:
    source = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    converted = ImageCms.profileToProfile(
        image, source, ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert converted is not None
    values = np.asarray(converted).astype(float)
    values[..., 1:] = (values[..., 1:] + 128) % 256 - 128
    return values * (100 / 255, 1, 1)


def test_lossy_reading_warns(edge_cases):
    for name, said in (
        ("cmyk.jpg", "CMYK converted"),
        ("cmyk_plain.jpg", "without a colour profile"),
        ("lab.tif", "LAB converted"),
        ("animation.gif", "only the first"),
        ("pages.tif", "only the first"),
    ):
        with pytest.warns(ImageWarning, match=said):
            read_image(edge_cases / name)
    with pytest.warns(ImageWarning):
        cmyk, plain = (
            np.asarray(read_pil(edge_cases / name), float).mean((0, 1))
            for name in ("cmyk.jpg", "photo.bmp")
        )
    assert np.abs(cmyk - plain).max() < 6  # converted by the profile in the file


def test_quality_and_named_formats(edge_cases, tmp_path):
    image = read_image(edge_cases / "rotated.jpg")
    sizes = {}
    for name in ("jpg", "webp", "avif"):
        for quality in (None, 95, 40):
            write_image(image, tmp_path / f"out.{name}", quality=quality)
            sizes[name, quality] = (tmp_path / f"out.{name}").stat().st_size
        assert sizes[name, 40] < sizes[name, 95]
    write_image(image, tmp_path / "out.webp")
    assert np.array_equal(read_image(tmp_path / "out.webp").array, image.array)  # lossless
    write_image(image, tmp_path / "named.dat", format="tiff")
    with Image.open(tmp_path / "named.dat") as opened:
        assert opened.format == "TIFF"
    with pytest.raises(ImageError, match="xyz"):
        write_image(image, tmp_path / "out.xyz")


def test_broken_or_too_large_metadata_are_left_out(edge_cases, tmp_path):
    image = read_image(edge_cases / "photo.bmp")
    large = Metadata(exif=b"Exif\0\0" + bytes(JPEG_SEGMENT), xmp=b"x" * JPEG_SEGMENT * 2)
    write_image(ImageData(image.array, large), tmp_path / "out.jpg")
    assert read_image(tmp_path / "out.jpg").size == image.size
    image = Image.fromarray(image.array)
    image.save(tmp_path / "broken.jpg", exif=b"Exif\0\0MM\0*" + bytes(range(200)))
    assert read_image(tmp_path / "broken.jpg").size == image.size


def test_premultiplied_sixteen_bit_colours_are_divided_by_alpha(edge_cases, tmp_path):
    import pyvips

    source = read_image(edge_cases / "rgba16.png").array
    colour = (source[:, :, :3].astype(float) * source[:, :, 3:] / 65535).round()
    stored = np.concatenate([colour, source[:, :, 3:]], axis=2).astype(np.uint16)
    image = pyvips.Image.new_from_array(stored).copy(interpretation="rgb16")
    image.tiffsave(str(tmp_path / "p.tif"), premultiply=False)
    data = bytearray((tmp_path / "p.tif").read_bytes())
    # ExtraSamples (338), SHORT, one value: from 2 (separate) to 1 (multiplied).
    at = data.index(bytes([0x52, 0x01, 3, 0, 1, 0, 0, 0])) + 8
    assert data[at] == 2
    data[at] = 1
    (tmp_path / "p.tif").write_bytes(data)
    result = read_image(tmp_path / "p.tif").array
    visible = source[:, :, 3] > 6000
    assert np.abs(result[visible].astype(int) - source[visible]).max() < 10
