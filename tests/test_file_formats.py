"""HEIC, folders of mixed files, and files that are no images."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
import pyvips
from PIL import Image

from hsr_hub.images import (
    FORMATS,
    ImageError,
    ImageWarning,
    describe_left_out,
    find_images,
    has_frames,
    read_image,
    save_pil,
    write_image,
)
from hsr_hub.images.formats import ImageFormat
from hsr_hub.images.identify import HEAD_BYTES, SIGNATURES, describe, image_format
from hsr_hub.inference import plan
from tests.test_image_kinds import profile
from tests.util import ROOT


def save_heic(path: Path, image: Image.Image, **options) -> None:
    pillow_heif.from_pillow(image).save(path, quality=95, **options)


def test_heic_is_read_upright_with_its_metadata(tmp_path: Path, small_photo: Image.Image):
    exif = Image.Exif()
    exif[271], exif[274] = "Maker", 6
    path = tmp_path / "IMG_1.HEIC"
    small_photo.info["icc_profile"] = profile("p3")
    save_heic(path, small_photo, exif=exif.tobytes())
    renamed = path.rename(tmp_path / "IMG_1.jpg")
    for source in (renamed, renamed.open("rb")):
        image = read_image(source)
        assert image.size == (small_photo.height, small_photo.width)
        expected = np.rot90(np.asarray(small_photo), -1).astype(int)
        assert np.abs(image.array - expected).mean() < 6
        assert image.metadata.icc_profile == profile("p3")
    write_image(image, tmp_path / "out.jpg")
    with Image.open(tmp_path / "out.jpg") as opened:
        assert opened.getexif()[271] == "Maker"
        assert opened.getexif().get(274, 1) == 1


def test_limits_hold_for_heic(tmp_path: Path):
    save_heic(tmp_path / "large.heic", Image.new("RGB", (400, 300)))
    with pytest.raises(ImageError, match="megapixels"):
        read_image(tmp_path / "large.heic", max_pixels=100_000)


def test_the_depth_of_a_heic_is_mentioned(tmp_path: Path):
    deep = np.full((32, 32, 3), 32768, np.uint16)
    heif = pillow_heif.from_bytes("RGB;16", (32, 32), deep.tobytes())
    heif.save(tmp_path / "deep.heic")
    with pytest.warns(ImageWarning, match=r"deep\.heic: its 10 bits"):
        image = read_image(tmp_path / "deep.heic")
    assert image.notes == ("deep.heic: its 10 bits per channel are reduced to 8",)


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_the_depth_of_an_avif_is_mentioned(tmp_path: Path, bits: int):
    path = tmp_path / "deep.avif"
    deep = pyvips.Image.new_from_array(np.full((32, 32, 3), 32768, np.uint16))
    deep.copy(interpretation="rgb16").heifsave(str(path), compression="av1", bitdepth=bits)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)
        image = read_image(path)
    expected = f"deep.avif: its {bits} bits per channel are reduced to 8"
    assert image.notes == ((expected,) if bits > 8 else ())
    assert np.abs(image.array.astype(int) - 128).max() <= 1


def test_further_images_of_a_heic_are_mentioned(tmp_path: Path, small_photo: Image.Image):
    heif = pillow_heif.from_pillow(small_photo)
    heif.add_from_pillow(small_photo.rotate(180))
    heif.save(tmp_path / "burst.heic")
    with pytest.warns(ImageWarning, match="only the first of its 2 images is used"):
        assert read_image(tmp_path / "burst.heic").frames == 2
    assert not has_frames(tmp_path / "burst.heic")


def test_heic_without_a_decoder_names_the_extra(tmp_path: Path, monkeypatch):
    save_heic(tmp_path / "a.heic", Image.new("RGB", (16, 16)))
    monkeypatch.setattr("hsr_hub.images.reading.OPENED_FORMATS", ["PNG", "JPEG"])
    with pytest.raises(ImageError, match=r"a\.heic .*hsr-hub\[heif\]"):
        read_image(tmp_path / "a.heic")


def test_a_format_without_an_encoder_is_refused_by_name(tmp_path: Path, monkeypatch):
    monkeypatch.delitem(Image.SAVE, "AVIF")
    assert not FORMATS["AVIF"].writable
    with pytest.raises(ImageError, match=r"a\.avif: cannot write '\.avif'; use one of png"):
        save_pil(Image.new("RGB", (9, 7)), tmp_path / "a.avif")


def test_a_new_format_is_known_by_its_entry_alone(monkeypatch):
    head = b"\xff\x0a\xfa\x1f"
    assert describe(head) == "a JPEG XL image"
    monkeypatch.setitem(SIGNATURES, "JXL", re.compile(rb"\xff\x0a"))
    assert (image_format(head), describe(head)) == ("JXL", None)


@pytest.fixture
def mixed_folder(tmp_path: Path, small_photo: Image.Image) -> Path:
    folder = tmp_path / "in"
    (folder / "@eaDir").mkdir(parents=True)
    (folder / "__MACOSX").mkdir()
    (folder / "deeper").mkdir()
    for name in ("a.jfif", "b.JPE", "@eaDir/a.jpg", "__MACOSX/b.jpg", "deeper/c.png", "._a.jpg"):
        suffix = Path(name).suffix.lower()
        small_photo.save(folder / name, "PNG" if suffix == ".png" else "JPEG")
    small_photo.save(folder / "d.apng", save_all=True, append_images=[small_photo])
    small_photo.save(folder / "e.bmp")
    (folder / "e.bmp").rename(folder / "e.dib")
    small_photo.save(folder / "without", "PNG")
    small_photo.save(folder / "lies.dat", "WEBP")
    save_heic(folder / "f.HEIC", small_photo)
    small_photo.save(folder / "x.tif")
    (folder / "x.tif").rename(folder / "raw.NEF")
    for name in ("1.pdf", "2.nef", "3.nef", "Thumbs.db", "notes"):
        (folder / name).write_bytes(b"%PDF-1.7")
    return folder


def test_images_are_found_by_content_and_others_are_counted(mixed_folder: Path):
    images, left_out = find_images(mixed_folder)
    names = [str(path.relative_to(mixed_folder)) for path in images]
    assert names == sorted(
        ["a.jfif", "b.JPE", "d.apng", "deeper/c.png", "e.dib", "f.HEIC", "lies.dat", "without"]
    )
    assert left_out == Counter({".nef": 3, ".pdf": 1, "without suffix": 1})
    assert describe_left_out(left_out) == "3 .nef, 1 .pdf, 1 without suffix"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)
        for path in images:
            assert read_image(path).size == (61, 47)
    planned = plan([mixed_folder], mixed_folder / "deeper", "4x")
    assert len(planned.tasks) == 7
    assert planned.left_out == left_out


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"%PDF-1.7", "is a PDF"),
        (b"8BPS\0\1", "is a Photoshop file"),
        (b"\xff\x0a\xfa\x1f", "is a JPEG XL image"),
        (b"II*\0\x10\0\0\0CR\2\0", "is a raw file of a camera: develop it first"),
        (b"IIRO\x08\0\0\0", "is a raw file of a camera: develop it first"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1", "is a raw file of a camera: develop it first"),
        (b"\x89PNG\r\n\x1a\nabc", "starts like a PNG file, but is damaged"),
        (b"hello", "not an image that can be read"),
    ],
)
def test_other_files_are_named_for_their_kind(tmp_path: Path, content: bytes, named: str):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    for source in (path, path.open("rb")):
        with pytest.raises(ImageError, match=named):
            read_image(source)


@pytest.mark.parametrize("entry", FORMATS.values(), ids=lambda entry: entry.name)
def test_every_format_is_documented_and_known_by_its_first_bytes(
    entry: ImageFormat, tmp_path: Path
):
    page = (ROOT / "docs" / "file-formats.md").read_text(encoding="utf-8")
    table = page.partition("## Formats")[2].partition("## ")[0]
    assert any(entry.label in line.split("|")[1] for line in table.splitlines() if "|" in line)
    assert entry.readable and entry.writable == entry.written
    if entry.writable:
        path = tmp_path / f"x.{entry.suffixes[0]}"
        save_pil(Image.new("RGB", (9, 7), "teal"), path)
        assert image_format(path.read_bytes()[:HEAD_BYTES]) == entry.name
