"""Every kind of picture keeps what it is: depth, colours, alpha, orientation, metadata."""

from __future__ import annotations

import io
import warnings
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
def awkward(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("awkward")
    make(folder)
    return folder


@pytest.fixture(scope="module")
def shipped() -> HSRNet:
    return HSRNet.from_pretrained("hsr-lite-x4")


def enlarged(model: HSRNet, source: Path, target: Path) -> ImageData:
    """From file to file, read again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)
        write_image(upscale_image(model, read_image(source)), target)
    return read_image(target)


def small_again(array: np.ndarray) -> np.ndarray:
    """Means of 4x4 pixels: a faithful result gives its source back."""
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
def test_kind_is_kept(shipped, awkward, tmp_path, name, shape, depth):
    for suffix in ("png", "tif"):
        result = enlarged(shipped, awkward / name, tmp_path / f"out.{suffix}")
        array = result.array
        if suffix == "tif" and name == "grey_alpha16.png":  # no reader to rely on: RGB there
            array = array[:, :, [0, 3]]
        assert (array.shape, array.dtype) == (shape, depth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)
        source = read_image(awkward / name).array
    if name in {"one_bit.png", "palette.png"} or source.shape[2:] in {(2,), (4,)}:
        return  # what is under transparency is new, and dither is no picture
    difference = small_again(array) - source.squeeze()
    assert abs(difference.mean()) < 0.004 * np.iinfo(depth).max
    assert abs(difference).mean() < 0.02 * np.iinfo(depth).max


def test_sixteen_bits_from_file_to_file_are_sixteen(shipped, awkward, tmp_path):
    """The fine ramp between the steps of 8 bits is still there."""
    for name in ("rgb16.png", "rgb16.tif", "rgba16.png", "grey16.png", "grey_alpha16.png"):
        out = enlarged(shipped, awkward / name, tmp_path / "out.png").array
        source = read_image(awkward / name).array
        assert np.array_equal(shipped.upscale(source), out)
        assert len(np.unique(out % 257)) == 257
    with pytest.warns(ImageWarning, match="16 bits"):
        assert shipped.upscale(awkward / "rgb16.png").mode == "RGB"
    eight = read_pil(awkward / "rgb16.png")
    expected = np.rint(read_image(awkward / "rgb16.png").array / 257)
    assert np.array_equal(np.asarray(eight), expected)


def test_sixteen_bit_files_are_turned_upright(awkward, tmp_path):
    pixels = read_image(awkward / "rgb16.png").array
    exif = Image.Exif()
    for orientation in range(1, 9):
        exif[274] = orientation
        path = tmp_path / "turned.tif"
        write_image(ImageData(pixels, Metadata(exif=exif.tobytes())), path)
        with Image.open(path) as opened:
            assert opened.getexif().get(274, 1) == orientation
        eight = tmp_path / "eight.png"
        Image.fromarray((pixels // 257).astype(np.uint8)).save(eight, exif=exif)
        expected = read_image(eight).array  # Pillow's own turn
        assert np.array_equal(read_image(path).array // 257, expected)


def test_exif_and_xmp_are_kept_with_the_new_size(shipped, awkward, tmp_path):
    for suffix in ("jpg", "png", "webp", "tif", "avif"):
        enlarged(shipped, awkward / "rotated.jpg", tmp_path / f"out.{suffix}")
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


def test_wide_gamut_colours_stay_what_they_were(shipped, awkward, tmp_path):
    for name in ("wide_gamut.png", "rgb16.png"):
        for suffix in ("png", "tif", "jpg", "webp", "avif"):
            result = enlarged(shipped, awkward / name, tmp_path / f"out.{suffix}")
            assert result.metadata.icc_profile == profile("p3")
        enlarged(shipped, awkward / name, tmp_path / "out.png")
        before, after = (lab(read_pil(p)) for p in (awkward / name, tmp_path / "out.png"))
        difference = np.linalg.norm(small_again(after) - before, axis=-1)
        assert difference.mean() < 2
        assert np.abs((small_again(after) - before).mean((0, 1))).max() < 0.5


def lab(image: Image.Image) -> np.ndarray:
    source = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    converted = ImageCms.profileToProfile(
        image, source, ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert converted is not None
    values = np.asarray(converted).astype(float)
    values[..., 1:] = (values[..., 1:] + 128) % 256 - 128
    return values * (100 / 255, 1, 1)


def test_conversions_are_said(awkward):
    for name, said in (
        ("cmyk.jpg", "CMYK converted"),
        ("cmyk_plain.jpg", "without a colour profile"),
        ("lab.tif", "LAB converted"),
        ("animation.gif", "only the first"),
        ("pages.tif", "only the first"),
    ):
        with pytest.warns(ImageWarning, match=said):
            read_image(awkward / name)
    with pytest.warns(ImageWarning):
        cmyk, plain = (
            np.asarray(read_pil(awkward / name), float).mean((0, 1))
            for name in ("cmyk.jpg", "photo.bmp")
        )
    assert np.abs(cmyk - plain).max() < 6  # the colours of print, by the file's own profile


def test_quality_and_formats(awkward, tmp_path):
    picture = read_image(awkward / "rotated.jpg")
    sizes = {}
    for name in ("jpg", "webp", "avif"):
        for quality in (None, 95, 40):
            write_image(picture, tmp_path / f"out.{name}", quality=quality)
            sizes[name, quality] = (tmp_path / f"out.{name}").stat().st_size
        assert sizes[name, 40] < sizes[name, 95]
    write_image(picture, tmp_path / "out.webp")
    assert np.array_equal(read_image(tmp_path / "out.webp").array, picture.array)  # lossless
    write_image(picture, tmp_path / "named.dat", format="tiff")
    with Image.open(tmp_path / "named.dat") as image:
        assert image.format == "TIFF"
    with pytest.raises(ImageError, match="xyz"):
        write_image(picture, tmp_path / "out.xyz")


def test_metadata_that_are_broken_or_too_large_do_no_harm(awkward, tmp_path):
    picture = read_image(awkward / "photo.bmp")
    large = Metadata(exif=b"Exif\0\0" + bytes(JPEG_SEGMENT), xmp=b"x" * JPEG_SEGMENT * 2)
    write_image(ImageData(picture.array, large), tmp_path / "out.jpg")
    assert read_image(tmp_path / "out.jpg").size == picture.size
    image = Image.fromarray(picture.array)
    image.save(tmp_path / "broken.jpg", exif=b"Exif\0\0MM\0*" + bytes(range(200)))
    assert read_image(tmp_path / "broken.jpg").size == picture.size


def test_premultiplied_sixteen_bits(awkward, tmp_path):
    import pyvips

    source = read_image(awkward / "rgba16.png").array
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
