"""Photographs of every kind as training data, and what is said about other files."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pillow_heif
import pytest
import torch
from PIL import Image

from hsr_hub.training.data import Cropper, PhotoCrops
from hsr_hub.training.photos import FolderPhotos, PairPhotos, export_validation, sources

SIDE = 32


def crops(folder: Path, side: int = SIDE) -> PhotoCrops:
    photos = FolderPhotos([folder], side, progress=False)
    return PhotoCrops(photos, Cropper(side, 4), num_samples=8, progress=False)


@pytest.fixture
def photo(cat: Path) -> Image.Image:
    with Image.open(cat) as image:
        return image.convert("RGB").crop((0, 0, 40, 36))


def deep(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


def save_heic(image: Image.Image, path: Path) -> None:
    pillow_heif.from_pillow(image).save(path, quality=95)


KINDS: dict[str, tuple[str, Callable[[Image.Image, Path], object]]] = {
    "1 bit": ("a.png", lambda image, path: image.convert("1").save(path)),
    "grey": ("a.png", lambda image, path: image.convert("L").save(path)),
    "grey and alpha": ("a.png", lambda image, path: image.convert("LA").save(path)),
    "palette": ("a.gif", lambda image, path: image.convert("P").save(path)),
    "alpha": ("a.webp", lambda image, path: image.convert("RGBA").save(path)),
    "16 bits": ("a.png", lambda image, path: deep(image).save(path)),
    "16 bits TIFF": ("a.tif", lambda image, path: deep(image).save(path)),
    "CMYK": ("a.jpg", lambda image, path: image.convert("CMYK").save(path)),
    "HEIC": ("a.HEIC", save_heic),
    "AVIF": ("a.avif", lambda image, path: image.save(path)),
    "wrong suffix": ("a.jpg", lambda image, path: image.save(path, "PNG")),
    "no suffix": ("a", lambda image, path: image.save(path, "JPEG")),
    "exactly a crop": ("a.png", lambda image, path: image.crop((0, 0, SIDE, SIDE)).save(path)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_photo_of_every_kind_gives_crops(tmp_path: Path, photo: Image.Image, kind: str):
    name, save = KINDS[kind]
    save(photo, tmp_path / name)
    data = crops(tmp_path)
    assert len(data.photos) == 1
    for index in range(3):
        assert data[index]["gt"].shape == (3, SIDE + 32, SIDE + 32)


def test_a_turned_photo_is_measured_as_it_is_displayed(tmp_path: Path, photo: Image.Image):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.crop((0, 0, 40, 20)).save(tmp_path / "turned.jpg", exif=exif)
    photos = FolderPhotos([tmp_path], 20, progress=False)
    assert photos.read(0).gt.shape == (40, 20, 3)


def test_numbers_that_are_no_pixels_are_refused_by_name(tmp_path: Path, photo, caplog):
    values = np.asarray(photo.convert("L"), dtype=np.float32) / 255
    Image.fromarray(np.where(values > 0.5, np.nan, values)).save(tmp_path / "nan.tif")
    photo.save(tmp_path / "good.png")
    data = crops(tmp_path)
    for index in range(4):  # the other photo takes its place
        assert data[index]["gt"].float().isfinite().all()
    assert "nan.tif, which is replaced by the next photo" in caplog.text
    assert "floating-point" in caplog.text


def test_what_is_left_out_is_said(tmp_path: Path, photo: Image.Image, caplog):
    caplog.set_level("INFO")
    for name in ("raw.nef", "raw2.NEF", "notes.txt", "Thumbs.db", ".hidden.png"):
        (tmp_path / name).write_bytes(b"nothing")
    (tmp_path / "empty.png").touch()
    photo.save(tmp_path / "photo.dat", "PNG")
    photos = FolderPhotos([tmp_path], SIDE, progress=False)
    assert [path.name for path in photos.paths] == ["photo.dat"]
    assert "left out, because they are no images: 2 .nef, 1 .txt in" in caplog.text
    assert "empty.png is empty (0 bytes)" in caplog.text
    assert "hidden" not in caplog.text


def test_pairs_are_found_by_content_too(tmp_path: Path, photo: Image.Image):
    (tmp_path / "HR").mkdir()
    (tmp_path / "LRx4").mkdir()
    photo.save(tmp_path / "HR" / "one", "PNG")
    photo.resize((10, 9)).save(tmp_path / "LRx4" / "onex4.dat", "PNG")
    pairs = PairPhotos([tmp_path], SIDE, 4, progress=False)
    gt, lq = pairs.read(0)
    assert gt.shape == (36, 40, 3) and lq is not None and lq.shape == (9, 10, 3)


def test_pairs_of_subfolders_are_not_mixed_up(tmp_path: Path, photo: Image.Image):
    for name, value in (("a", 50), ("b", 200)):
        for kind, size in (("HR", (40, 40)), ("LRx4", (10, 10))):
            (tmp_path / kind / name).mkdir(parents=True)
            Image.new("RGB", size, (value,) * 3).save(tmp_path / kind / name / "1.png")
    pairs = PairPhotos([tmp_path], SIDE, 4, progress=False)
    for index in range(2):
        gt, lq = pairs.read(index)
        assert lq is not None and gt[0, 0, 0] == lq[0, 0, 0]
    photo.save(tmp_path / "HR" / "a" / "1.webp")
    with pytest.raises(ValueError, match=r"1\.webp and 1\.png in .* are both a"):
        PairPhotos([tmp_path], SIDE, 4, progress=False)


def test_another_split_is_not_validated_on_the_earlier_images(tmp_path, photo, monkeypatch):
    class Rows(list):
        column_names = ("image",)

    def load(name: str, *, split: str, **_) -> Rows:
        return Rows({"image": photo} for _ in range({"validation": 1, "test": 2}[split]))

    monkeypatch.setattr(sources, "load_images", load)
    accelerator = SimpleNamespace(is_main_process=True, wait_for_everyone=lambda: None)
    folders = []
    for split in ("validation", "test", "test"):
        args = argparse.Namespace(
            output_dir=tmp_path,
            validation_dataset_name="org/photos",
            validation_dataset_split=split,
            image_column=None,
        )
        folders.append(export_validation(args, accelerator))  # type: ignore[arg-type]
    assert [len(list((folder / "HR").iterdir())) for folder in folders] == [1, 2, 2]
    assert [folder.name for folder in folders] == ["photos"] * 3  # the name in the card


def test_linked_folders_are_searched_once(photo_folder: Path, tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "inner").mkdir(parents=True)
    for path in photo_folder.iterdir():
        (elsewhere / "inner" / path.name).write_bytes(path.read_bytes())
    top = tmp_path / "top"
    top.mkdir()
    (top / "link").symlink_to(elsewhere)
    (elsewhere / "loop").symlink_to(top)
    (elsewhere / "again").symlink_to(elsewhere / "inner")
    assert len(FolderPhotos([top], SIDE, progress=False)) == 3


def test_one_unreadable_photo_in_a_thousand_is_replaced(tmp_path: Path, photo, caplog):
    """Its header is sound, so the damage shows when it is drawn."""
    Image.effect_noise((40, 36), 90).save(tmp_path / "0.png")
    damaged = (tmp_path / "0.png").read_bytes()[:-500]
    (tmp_path / "0.png").write_bytes(damaged)
    for number in range(1, 20):
        photo.save(tmp_path / f"{number}.bmp")
    photos = FolderPhotos([tmp_path], SIDE, progress=False)
    data = PhotoCrops(photos, Cropper(SIDE, 4), num_samples=60, progress=False)
    for index in range(60):
        assert isinstance(data[index]["gt"], torch.Tensor)
    assert caplog.text.count("0.png, which is replaced by the next photo") == 1
