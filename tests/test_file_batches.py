"""Names, formats and times of results, earlier results, and limits that are known before."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hsr_hub import HSRNet
from hsr_hub.cli.main import main
from hsr_hub.images import (
    ImageData,
    ImageError,
    Metadata,
    check_target,
    read_image,
    read_stamp,
    write_image,
)
from hsr_hub.inference import plan


@pytest.fixture(scope="module")
def model_folder(model: HSRNet, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def upscale(model_folder: Path, monkeypatch, capfd):
    """A function that runs `hsr-hub upscale` here, and returns its code and its messages."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    def run(*arguments: str | Path) -> tuple[int, str]:
        words = ["upscale", *map(str, arguments), "--model", str(model_folder), "--device", "cpu"]
        code = main(words)
        return code, capfd.readouterr().err

    return run


def draw(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 5), "red").save(folder / name)


def targets(folder: Path, *inputs: Path, **options) -> list[str]:
    tasks = plan(inputs or [folder], folder / "out", "4x", **options).tasks
    return sorted(str(task.target.relative_to(folder / "out")) for task in tasks)


def test_names_and_formats_can_stay(tmp_path: Path):
    draw(tmp_path, "a.png", "a.jpg", "deep/b.tga.bmp", "c.gif", "d.jfif")
    same = {"format": "same"}
    assert targets(tmp_path, **same) == [
        "a-4x.jpg",
        "a-4x.png",
        "c-4x.gif",
        "d-4x.jfif",
        "deep/b.tga-4x.bmp",
    ]
    assert targets(tmp_path, **same, keep_names=True) == [
        "a.jpg",
        "a.png",
        "c.gif",
        "d.jfif",
        "deep/b.tga.bmp",
    ]
    assert targets(tmp_path, tmp_path / "a.png", tmp_path / "a.jpg", keep_names=True) == [
        "a-jpg.png",
        "a-png.png",
    ]
    with pytest.raises(ValueError, match="would replace"):
        plan([tmp_path / "a.png"], tmp_path, "4x", keep_names=True)
    with pytest.raises(ValueError, match="would replace"):
        plan([tmp_path / "a.png"], None, "4x", keep_names=True)


def test_output_can_be_left_out_or_be_a_folder_with_a_dot(tmp_path: Path):
    draw(tmp_path, "a.png", "b.png")
    image = tmp_path / "a.png"
    assert plan([image], None, "4x").tasks[0].target == tmp_path / "a-4x.png"
    assert plan([image], None, "2x", format="webp").tasks[0].target == tmp_path / "a-2x.webp"
    dated = tmp_path / "results.2024"
    assert plan([image], dated, "4x").tasks[0].target == dated / "a-4x.png"
    assert len(plan([image, tmp_path / "b.png"], dated, "4x").tasks) == 2
    with pytest.raises(ValueError, match="name it by -o"):
        plan([tmp_path], None, "4x")
    for wrong in ("out.dds", "out.heic"):
        with pytest.raises(ImageError, match="cannot write"):
            plan([image], tmp_path / wrong, "4x")
    with pytest.raises(ValueError, match="contradict"):
        plan([image], tmp_path / "out.png", "4x", format="jpg")
    assert plan([image], tmp_path / "out.jpg", "4x", format="jpeg").tasks


def test_patterns_that_the_shell_left_are_expanded(tmp_path: Path, monkeypatch):
    draw(tmp_path, "a.png", "b.png", "c[1].png", "sub/d.png")
    assert targets(tmp_path, tmp_path / "?.png") == ["a-4x.png", "b-4x.png"]
    assert targets(tmp_path, tmp_path / "c[1].png") == ["c[1]-4x.png"]
    monkeypatch.chdir(tmp_path)
    assert len(plan([Path("**/*.png")], tmp_path / "out", "4x").tasks) == 4
    with pytest.raises(ValueError, match="no file matches"):
        plan([tmp_path / "*.jpg"], tmp_path / "out", "4x")


@pytest.mark.filterwarnings("ignore:a.gif")
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "avif", "tif", "gif"])
def test_results_carry_their_settings(tmp_path: Path, suffix: str):
    path = tmp_path / f"a.{suffix}"
    image = ImageData(np.zeros((4, 5, 3), np.uint8), Metadata(stamp="hsr-hub 4x tiny"))
    assert bool(write_image(image, path)) == (suffix == "gif")
    assert read_stamp(path) == "hsr-hub 4x tiny"
    again = read_image(path).metadata
    assert again == Metadata()
    write_image(ImageData(image.array, image.metadata.stripped()), path)
    assert read_stamp(path) is None


def test_earlier_results_are_not_enlarged_again(tmp_path: Path):
    draw(tmp_path, "a.png", "a-4x.png", "logo-2x.png", "b-1920x1080.png")
    result = ImageData(np.zeros((4, 5, 3), np.uint8), Metadata(stamp="hsr-hub 2x tiny"))
    write_image(result, tmp_path / "gone-2x.jpg")
    planned = plan([tmp_path], tmp_path / "out", "4x")
    names = [task.source.name for task in planned.tasks]
    assert names == ["a.png", "b-1920x1080.png", "logo-2x.png"]
    assert planned.left_out == {"earlier results": 2}
    assert len(plan([tmp_path / "a-4x.png"], tmp_path / "out", "4x").tasks) == 1


@pytest.mark.parametrize(
    ("name", "size", "named"),
    [
        ("a.webp", (16_384, 10), "WebP holds up to 16383 pixels"),
        ("a.jpg", (10, 65_501), "JPEG holds up to 65500 pixels"),
        ("ü" * 126 + ".png", (1, 1), "has 256 bytes"),
    ],
)
def test_limits_are_known_before_the_computation(tmp_path: Path, name: str, size, named: str):
    with pytest.raises(ImageError, match=named):
        check_target(tmp_path / name, size)
    check_target(tmp_path / "a.png", (100_000, 100_000))


def test_batch_from_folder_to_folder(tmp_path: Path, upscale):
    folder, out = tmp_path / "in", tmp_path / "out"
    draw(folder, "a.png", "b.jpg")
    strange = os.fsencode(folder) + b"/\xff\xfe.png"
    Path(os.fsdecode(strange)).write_bytes((folder / "a.png").read_bytes())
    (folder / ("n" * 251 + ".png")).write_bytes((folder / "a.png").read_bytes())
    (folder / "notes.pdf").write_bytes(b"%PDF")
    os.utime(folder / "a.png", (1e9, 1e9))
    code, said = upscale(folder, "-o", out, "--keep-times", "--format", "same")
    assert code == 1
    assert "has 258 bytes" in said and "left out: 1 .pdf" in said
    written = sorted(os.fsencode(path.name) for path in out.iterdir())
    assert written == [b"a-4x.png", b"b-4x.jpg", b"\xff\xfe-4x.png"]
    assert (out / "a-4x.png").stat().st_mtime == 1e9
    assert read_stamp(out / "b-4x.jpg") == "hsr-hub 4x tiny"
    (folder / ("n" * 251 + ".png")).unlink()

    code, said = upscale(folder, "-o", out, "--format", "same", "--skip-existing")
    assert code == 0
    assert "skipped 3 images whose results exist" in said and "other settings" not in said
    arguments = (folder / "a.png", "-o", out / "a-4x.png", "--skip-existing", "--scale", "2")
    code, said = upscale(*arguments)
    assert "other settings (hsr-hub 4x tiny)" in said


def test_one_file_without_an_output(tmp_path: Path, upscale):
    draw(tmp_path, "a.jpg")
    assert upscale(tmp_path / "a.jpg", "--scale", "2")[0] == 0
    assert read_image(tmp_path / "a-2x.png").size == (12, 10)
