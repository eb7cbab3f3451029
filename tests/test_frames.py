"""All frames of animations and all pages of TIFF files are enlarged, with their durations."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from hsr_hub.images import (
    Frame,
    Frames,
    ImageData,
    ImageError,
    Metadata,
    has_frames,
    read_frames,
    read_image,
    read_stamp,
    result_paths,
    write_frames,
    write_image,
)
from hsr_hub.images.animation import write_animation
from hsr_hub.images.exif import LONG, MAIN, ExifBlock
from hsr_hub.images.tiff_kinds import find_pages
from tests.test_file_batches import model_folder, upscale  # noqa: F401  (fixtures)
from tests.test_file_metadata import XMP, camera_exif
from tests.test_image_kinds import profile

pytestmark = pytest.mark.filterwarnings("ignore::hsr_hub.images.ImageWarning")

DURATIONS = [100, 200, 50, 1000]
ANIMATED = ("gif", "png", "webp")


def drawings(alpha: bool = False, count: int = 4) -> list[Image.Image]:
    """Return frames of a square that moves; the last two are equal in their left half."""
    frames = []
    for number in range(count):
        image = Image.new("RGBA", (24, 17), (0, 0, 0, 0) if alpha else (20, 90, 160, 255))
        ImageDraw.Draw(image).rectangle((3 * number, 2, 3 * number + 5, 9), fill="red")
        frames.append(image if alpha else image.convert("RGB"))
    return frames


def animate(path: Path, *, alpha: bool = False, plays: int = 0) -> list[Image.Image]:
    """Write an animation by Pillow, and return its frames."""
    first, *rest = drawings(alpha)
    options: dict = {"lossless": True} if path.suffix == ".webp" else {}
    if path.suffix == ".gif":
        options["disposal"] = 2 if alpha else 1
        if plays != 1:
            options["loop"] = max(0, plays - 1)
    else:
        options["loop"] = plays
    first.save(path, save_all=True, append_images=rest, duration=DURATIONS, **options)
    return [first, *rest]


def frames_of(path: Path) -> Frames:
    frames = read_frames(path)
    assert frames is not None
    return frames


def same(frames: Frames) -> Iterator[Frame]:
    return iter(frames)


def shown(path: Path) -> list[tuple[np.ndarray, float]]:
    """Return the frames of a file as Pillow shows them, with black where they are transparent."""
    result = []
    with Image.open(path) as opened:
        for index in range(getattr(opened, "n_frames", 1)):
            opened.seek(index)
            opened.load()
            array = np.array(opened.convert("RGBA"))
            array[array[:, :, 3] == 0] = 0
            result.append((array, opened.info.get("duration", 0)))
    return result


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("target", ANIMATED)
@pytest.mark.parametrize("source", ANIMATED)
def test_frames_durations_and_loops_are_kept(tmp_path, source: str, target: str, alpha: bool):
    path, out = tmp_path / f"in.{source}", tmp_path / f"out.{target}"
    for plays in (0, 1, 3):
        drawn = animate(path, alpha=alpha, plays=plays)
        expected = [np.array(image.convert("RGBA")) for image in drawn]
        frames = frames_of(path)
        assert (len(frames), frames.durations, frames.plays) == (4, DURATIONS, plays)
        assert frames.alpha == alpha
        write_frames(same(frames), frames, out)
        again = frames_of(out)
        assert (again.durations, again.plays, again.alpha) == (DURATIONS, plays, alpha)
        for (array, duration), wanted, wanted_duration in zip(
            shown(out), expected, DURATIONS, strict=True
        ):
            wanted[wanted[:, :, 3] == 0] = 0
            assert np.abs(array.astype(int) - wanted).max() <= (
                2 if "gif" in (source, target) else 0
            )
            assert duration == wanted_duration
    assert [name.name for name in tmp_path.iterdir() if name.name.startswith(".")] == []


def test_an_animation_in_a_format_without_a_writer_is_refused():
    file = io.BytesIO()
    with pytest.raises(ValueError, match="no writer of animations in AVIF"):
        write_animation("AVIF", [], 0, 0, file, lambda *_: None)
    assert not file.getvalue()


@pytest.mark.parametrize("suffix", ANIMATED)
def test_many_colours_and_parts_of_frames(tmp_path: Path, rng, suffix: str):
    path = tmp_path / f"a.{suffix}"
    start = np.linspace(0, 255, 40 * 30 * 3).reshape(30, 40, 3).astype(np.uint8)
    arrays = [start.copy() for _ in range(5)]
    arrays[1][11:14, 7:12] = rng.integers(0, 255, (3, 5, 3))
    arrays[2][29:, 39:] = 0
    arrays[3] = arrays[2].copy()
    arrays[4] = 255 - start
    first = ImageData(arrays[0], Metadata(icc_profile=profile("p3"), xmp=b"<x/>"))
    source = Frames(path, first, [(40, 30)] * 5, [33.0, 40, 0, 70_000, 10], 2)
    images = [ImageData(array, first.metadata) for array in arrays]
    notes = write_frames(map(Frame, images, source.durations), source, path)
    assert bool(notes) == (suffix == "gif")
    if notes:
        assert "its colours are reduced to the 256 of a GIF" in notes[0]
    with Image.open(path) as opened:
        assert getattr(opened, "n_frames", 1) == 5
        assert opened.size == (40, 30)
    for (array, _), wanted in zip(shown(path), arrays, strict=True):
        difference = np.abs(array[:, :, :3].astype(int) - wanted)
        assert difference.mean() < 8 if suffix == "gif" else difference.max() == 0
    if suffix != "gif":
        metadata = read_image(path).metadata
        assert (metadata.icc_profile, metadata.xmp) == (profile("p3"), b"<x/>")


@pytest.mark.parametrize("kind", ["RGB", "grey", "grey16", "rgb16", "inverted16"])
def test_pages_of_a_tiff_are_kept(tmp_path: Path, rng, kind: str):
    channels = (3,) if kind in {"RGB", "rgb16"} else ()
    dtype = np.uint16 if "16" in kind else np.uint8
    arrays = [
        rng.integers(0, np.iinfo(dtype).max, (9 + i, 14, *channels)).astype(dtype) for i in range(3)
    ]
    path, out = tmp_path / "in.tif", tmp_path / "out.tif"
    if kind == "inverted16":
        first, *rest = (Image.fromarray(65535 - array) for array in arrays)
        first.save(path, save_all=True, append_images=rest, tiffinfo={262: 0})
    else:
        block = ExifBlock.parse(camera_exif(">"))
        del block.get(MAIN)[274]
        exif = b"Exif\0\0" + block.tobytes()
        pages = (Frame(ImageData(array, Metadata(exif=exif))) for array in arrays)
        write_frames(pages, Frames(path, ImageData(arrays[0]), [], []), path)
    frames = frames_of(path)
    assert frames.paged and frames.sizes == [(14, 9), (14, 10), (14, 11)]
    assert write_frames(same(frames), frames, out) == ()
    again = frames_of(out)
    for page, array in zip(again, arrays, strict=True):
        assert np.array_equal(page.image.array, array)
        if kind != "inverted16":
            exif = page.image.metadata.exif
            assert exif is not None and b"Opa M" in exif


def test_thumbnails_in_a_tiff_are_no_pages(tmp_path: Path):
    block = ExifBlock("<")
    block.get(MAIN)[11] = block.integers(LONG, 1)
    exif = b"Exif\0\0" + block.tobytes()
    pages = [ImageData(np.asarray(image), Metadata(exif=exif)) for image in drawings(count=2)]
    source = Frames(tmp_path, pages[0], [], [])
    write_frames(map(Frame, pages), source, tmp_path / "a.tif")
    assert frames_of(tmp_path / "a.tif")
    data = (tmp_path / "a.tif").read_bytes()
    # Make the tag of the second directory the one that says it is a thumbnail.
    _, at = find_pages(io.BytesIO(data))
    entry = data.index(struct.pack("<HHII", 11, LONG, 1, 1), at)
    (tmp_path / "b.tif").write_bytes(data[:entry] + b"\xfe" + data[entry + 1 :])
    assert not has_frames(tmp_path / "b.tif")
    assert read_image(tmp_path / "b.tif").notes == ()


def test_directories_that_form_a_loop_end(tmp_path: Path):
    first, second = drawings(count=2)
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    data = bytearray((tmp_path / "a.tif").read_bytes())
    start, at = find_pages(io.BytesIO(data))
    following = at + 2 + 12 * int.from_bytes(data[at : at + 2], "little")
    data[following : following + 4] = start.to_bytes(4, "little")
    assert find_pages(io.BytesIO(data)) == [start, at]
    # Directories at every offset, each with thousands of tags, cost no more than the limit.
    bomb = b"II*\0\x08\0\0\0" + struct.pack("<H", 4000) * 500_000
    assert len(find_pages(io.BytesIO(bomb))) < 1000


@pytest.mark.parametrize(
    ("source", "target", "names"),
    [
        ("a.gif", "a.jpg", ["a-001.jpg", "a-002.jpg", "a-003.jpg", "a-004.jpg"]),
        ("a.tif", "a.png", ["a-001.png", "a-002.png", "a-003.png", "a-004.png"]),
        ("a.gif", "a.tiff", ["a.tiff"]),
    ],
)
def test_formats_without_frames_get_numbered_files(tmp_path: Path, source, target, names):
    first, *rest = drawings()
    first.save(tmp_path / source, save_all=True, append_images=rest, duration=100)
    out = tmp_path / "out"
    out.mkdir()
    frames = frames_of(tmp_path / source)
    assert [path.name for path in result_paths(out / target, frames)] == names
    notes = write_frames(same(frames), frames, out / target)
    assert bool(notes) == (source == "a.gif")
    assert sorted(path.name for path in out.iterdir()) == names
    pages = [read_image(path) for path in sorted(out.iterdir())]
    if len(names) == 4:
        for page, drawing in zip(pages, drawings(), strict=True):
            assert np.abs(page.array.astype(int) - np.asarray(drawing)).mean() < 6
    else:
        assert pages[0].frames == 4


def test_a_failure_leaves_no_files(tmp_path: Path):
    animate(tmp_path / "a.gif")
    frames = frames_of(tmp_path / "a.gif")

    def failing() -> Iterator[Frame]:
        yield next(iter(frames))
        raise ImageError("no memory")

    for target in ("out.png", "out.webp", "out.gif", "out.tif", "out.jpg"):
        with pytest.raises(ImageError, match="no memory"):
            write_frames(failing(), frames, tmp_path / target)
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


def test_a_damaged_frame_is_known_before_the_computation(tmp_path: Path):
    for name in ("a.gif", "a.png", "a.webp"):
        animate(tmp_path / name)
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) * 3 // 4])
        with pytest.raises(ImageError, match=name):
            read_frames(tmp_path / name)


def test_second_image_of_an_mpo_is_no_frame(tmp_path: Path):
    first, second = drawings(count=2)
    first.save(tmp_path / "a.mpo", save_all=True, append_images=[second])
    image = read_image(tmp_path / "a.mpo")
    assert (image.frames, image.notes) == (1, ())
    assert read_frames(tmp_path / "a.mpo") is None


def test_one_frame_is_a_still_image(tmp_path: Path, small_photo):
    for name in ("a.gif", "a.png", "a.webp", "a.tif", "a.jpg"):
        small_photo.save(tmp_path / name)
        assert read_frames(tmp_path / name) is None
        assert not has_frames(tmp_path / name)
    first, *rest = drawings()
    first.save(tmp_path / "d.png", save_all=True, append_images=rest, default_image=True)
    frames = frames_of(tmp_path / "d.png")
    assert len(frames) == 3
    assert "programs without animations" in frames.first.notes[0]


def test_still_gif_has_256_colours_and_hard_transparency(tmp_path: Path, small_photo):
    image = ImageData.from_image(small_photo)
    assert "256" in write_image(image, tmp_path / "a.gif")[0]
    difference = read_image(tmp_path / "a.gif").array.astype(int) - image.array
    assert np.abs(difference).mean() < 10
    alpha = np.zeros((17, 24), np.uint8)
    alpha[4:9] = 255
    cut = ImageData(np.dstack([np.full((17, 24, 3), (200, 30, 60), np.uint8), alpha]))
    write_image(cut, tmp_path / "b.gif")
    again = read_image(tmp_path / "b.gif").array
    assert np.array_equal(again[:, :, 3], alpha)
    assert np.abs(again[5, :, :3].astype(int) - (200, 30, 60)).max() <= 2


def test_command_enlarges_the_first_frame_or_all(tmp_path: Path, upscale):  # noqa: F811
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    animate(folder / "a.gif", plays=0)
    first, *rest = drawings()
    first.save(folder / "p.tif", save_all=True, append_images=rest)
    first.save(folder / "still.png")
    first.convert("CMYK").save(folder / "cmyk.jpg")
    first.save(folder / "phone.jpg", xmp=XMP)
    code, said = upscale(folder, "-o", out, "--scale", "2")
    assert code == 0
    assert "cmyk.jpg: CMYK converted to RGB without a colour profile" in said
    assert "phone.jpg: its gain map (the brightness for HDR screens) and its video are" in said
    (folder / "cmyk.jpg").unlink()
    (folder / "phone.jpg").unlink()
    assert "a.gif: only the first of its 4 frames is used" in said
    assert "p.tif: only the first of its 4 pages is used" in said
    assert said.count("use --frames all") == 2

    code, said = upscale(folder, "-o", out, "--scale", "2", "--frames", "all", "--skip-existing")
    assert "skipped 3 images" in said and "other settings (hsr-hub 2x tiny)" in said
    out = tmp_path / "all"
    code, said = upscale(folder, "-o", out, "--scale", "2", "--frames", "all", "--keep-times")
    assert code == 0 and "only the first" not in said
    assert sorted(path.name for path in out.iterdir()) == [
        "a-2x.png",
        *(f"p-2x-00{number}.png" for number in range(1, 5)),
        "still-2x.png",
    ]
    frames = frames_of(out / "a-2x.png")
    assert (frames.first.size, frames.durations, frames.plays) == ((48, 34), DURATIONS, 0)
    assert (
        read_stamp(out / "a-2x.png")
        == read_stamp(out / "p-2x-003.png")
        == "hsr-hub 2x tiny all frames"
    )
    assert (out / "p-2x-002.png").stat().st_mtime == (folder / "p.tif").stat().st_mtime
    # Each frame of the result is that of an image of its own.
    drawings()[2].save(tmp_path / "third.png")
    upscale(tmp_path / "third.png", "--scale", "2")
    third = read_image(tmp_path / "third-2x.png").array
    assert np.array_equal(read_image(out / "p-2x-003.png").array, third)

    code, said = upscale(folder, "-o", out, "--scale", "2", "--frames", "all", "--skip-existing")
    assert "skipped 3 images" in said and "other settings" not in said
    same_formats = (folder, "-o", tmp_path / "same", "--frames", "all", "--format", "same")
    code, said = upscale(*same_formats, "--scale", "2")
    assert frames_of(tmp_path / "same" / "a-2x.gif").durations == DURATIONS
    assert len(frames_of(tmp_path / "same" / "p-2x.tif")) == 4


def test_results_of_frames_are_not_enlarged_again(tmp_path: Path, upscale):  # noqa: F811
    drawings()[0].save(tmp_path / "p.tif", save_all=True, append_images=drawings()[1:])
    upscale(tmp_path / "p.tif", "--scale", "2", "--frames", "all")
    assert (tmp_path / "p-2x-001.png").exists()
    code, said = upscale(tmp_path, "-o", tmp_path / "out", "--scale", "2", "--frames", "first")
    assert code == 0 and "left out: 4 earlier results" in said


def test_xmp_and_exif_of_an_animation_are_kept(tmp_path: Path):
    first, *rest = drawings()
    options: dict = {"exif": camera_exif("<"), "xmp": XMP.replace(b"hdr-gain-map", b"none")}
    first.save(tmp_path / "a.webp", save_all=True, append_images=rest, lossless=True, **options)
    frames = frames_of(tmp_path / "a.webp")
    assert frames.first.size == (17, 24)  # upright
    assert next(iter(frames)).image.size == (17, 24)
    for name in ("b.webp", "b.png"):
        write_frames(same(frames), frames, tmp_path / name)
        metadata = read_image(tmp_path / name).metadata
        assert metadata.exif is not None and b"Opa M" in metadata.exif
        assert metadata.xmp is not None and b"somebody" in metadata.xmp
