"""Reading and writing image files: damaged ones, orientation, modes, formats, atomic writes."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hsr_hub.images import ImageError, ImageWarning, read_pil, save_pil, to_array, to_rgb


def png_with_size(width: int, height: int) -> bytes:
    """Return a PNG whose header states a size that its data does not have."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + data + chunk(b"IEND", b"")


def truncated_jpeg(photo: Image.Image) -> bytes:
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG")
    return buffer.getvalue()[: buffer.tell() // 2]


@pytest.fixture
def hostile(tmp_path: Path, small_photo: Image.Image) -> dict[str, Path]:
    contents = {
        "text.png": b"this is not an image",
        "empty.jpg": b"",
        "cut.jpg": truncated_jpeg(small_photo),
        "bomb.png": png_with_size(50_000, 50_000),
        "large.png": png_with_size(10_000, 10_000),
        "nodata.png": png_with_size(100, 100),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return {name: tmp_path / name for name in contents}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("text.png", "not an image"),
        ("empty.jpg", "empty"),
        ("cut.jpg", "damaged or cut off"),
        ("bomb.png", "megapixels"),
        ("large.png", "megapixels"),
        ("nodata.png", "damaged or cut off"),
    ],
)
def test_unreadable_file_raises_one_line(hostile, name: str, reason: str, recwarn):
    with pytest.raises(ImageError) as error:
        read_pil(hostile[name])
    message = str(error.value)
    assert name in message
    assert reason in message
    assert "\n" not in message
    assert not recwarn.list


def test_error_names_a_missing_file(tmp_path: Path):
    with pytest.raises(ImageError, match=r"gone\.png"):
        read_pil(tmp_path / "gone.png")


def test_orientation_is_applied(tmp_path: Path, small_photo: Image.Image):
    exif = Image.Exif()
    exif[274] = 6  # turned by 90 degrees
    small_photo.save(tmp_path / "turned.png", exif=exif)
    upright = read_pil(tmp_path / "turned.png")
    assert upright.size == (small_photo.height, small_photo.width)
    assert np.array_equal(np.asarray(upright), np.rot90(np.asarray(small_photo), -1))


@pytest.mark.parametrize(
    ("mode", "plain"),
    [("1", "L"), ("L", "L"), ("LA", "LA"), ("P", "RGB"), ("RGB", "RGB"), ("RGBA", "RGBA")],
)
def test_modes_are_normalized(tmp_path: Path, small_photo: Image.Image, mode: str, plain: str):
    small_photo.convert(mode).save(tmp_path / "image.png")
    assert read_pil(tmp_path / "image.png").mode == plain


@pytest.mark.parametrize(("mode", "plain"), [("L", "LA"), ("1", "LA"), ("RGB", "RGBA")])
def test_transparent_colour_becomes_alpha(tmp_path, small_photo, mode: str, plain: str):
    key = (0, 0, 0) if mode == "RGB" else 0
    small_photo.convert(mode).save(tmp_path / "keyed.png", transparency=key)
    image = read_pil(tmp_path / "keyed.png")
    assert image.mode == plain
    assert "transparency" not in image.info


def test_sixteen_bit_grey_with_a_transparent_value_is_kept(tmp_path: Path):
    grey = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    Image.fromarray(grey).save(tmp_path / "deep.png", transparency=5000)
    assert np.array_equal(to_array(read_pil(tmp_path / "deep.png")), grey)


def test_grey_of_unknown_range_is_refused(tmp_path: Path):
    for name, values in (
        ("f.tif", np.array([[0.5]], np.float32)),
        ("i.tif", np.array([[70000]], np.int32)),
    ):
        Image.fromarray(values).save(tmp_path / name)
        with pytest.raises(ImageError, match=f"{name}.*no fixed range"):
            read_pil(tmp_path / name)


def test_to_rgb_rounds_sixteen_bits_to_eight(tmp_path: Path):
    Image.fromarray(np.full((2, 2), 20_000, np.uint16)).save(tmp_path / "deep.png")
    rgb = to_rgb(read_pil(tmp_path / "deep.png"))
    assert np.asarray(rgb).tolist() == [[[78, 78, 78]] * 2] * 2


def test_broken_metadata_is_ignored(tmp_path: Path, small_photo, recwarn):
    for suffix in ("png", "jpg"):
        small_photo.save(tmp_path / f"odd.{suffix}", exif=b"Exif\0\0garbage garbage", quality=95)
        assert read_pil(tmp_path / f"odd.{suffix}").size == small_photo.size
    assert not recwarn.list


def test_other_formats_are_not_decoded(tmp_path: Path, small_photo: Image.Image):
    small_photo.save(tmp_path / "script.eps")
    (tmp_path / "script.eps").rename(tmp_path / "script.png")
    with pytest.raises(ImageError, match=r"script\.png is a PostScript file"):
        read_pil(tmp_path / "script.png")


def test_image_beyond_a_formats_limit_is_an_error(tmp_path: Path):
    with pytest.raises(ImageError, match=r"wide\.webp"):
        save_pil(Image.new("L", (20_000, 1)), tmp_path / "wide.webp")


def test_symbolic_link_is_kept_on_writing(tmp_path: Path, small_photo: Image.Image):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "real" / "out.png")
    save_pil(small_photo, tmp_path / "link.png")
    assert (tmp_path / "link.png").is_symlink()
    assert (tmp_path / "real" / "out.png").is_file()


def test_transparent_palette_becomes_rgba(tmp_path: Path, small_photo: Image.Image):
    small_photo.convert("P").save(tmp_path / "palette.png", transparency=3)
    assert read_pil(tmp_path / "palette.png").mode == "RGBA"


def test_cmyk_becomes_rgb_and_sixteen_bit_grey_is_kept(tmp_path: Path, small_photo: Image.Image):
    small_photo.convert("CMYK").save(tmp_path / "print.jpg")
    with pytest.warns(ImageWarning, match="CMYK converted"):
        assert read_pil(tmp_path / "print.jpg").mode == "RGB"
    grey = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    Image.fromarray(grey).save(tmp_path / "deep.png")
    assert np.array_equal(to_array(read_pil(tmp_path / "deep.png")), grey)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".bmp"])
def test_lossless_formats_keep_the_pixels(tmp_path: Path, small_photo: Image.Image, suffix: str):
    save_pil(small_photo, tmp_path / f"out{suffix}")
    assert np.array_equal(np.asarray(read_pil(tmp_path / f"out{suffix}")), np.asarray(small_photo))


def test_jpeg_puts_transparency_on_white(tmp_path: Path):
    save_pil(Image.new("RGBA", (8, 8), (0, 0, 0, 0)), tmp_path / "out.jpg")
    assert np.asarray(read_pil(tmp_path / "out.jpg")).min() > 250


def test_unknown_suffix_is_refused(tmp_path: Path, small_photo: Image.Image):
    with pytest.raises(ImageError, match="xyz"):
        save_pil(small_photo, tmp_path / "out.xyz")


def test_interrupted_write_leaves_the_old_file(tmp_path, small_photo, monkeypatch):
    path = tmp_path / "out.png"
    path.write_bytes(b"old")

    def fail(self, file, *_, **__):
        Path(file).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(ImageError, match="disk full"):
        save_pil(small_photo, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
