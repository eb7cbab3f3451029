"""The command line."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin, TiffTags

from hsr_hub import HSRNet, __version__
from hsr_hub.cli.main import build_parser, main
from hsr_hub.evaluation import find_pairs, psnr_y, read_pair
from hsr_hub.hub import PublishError, bundled_models, choose_weights, default_model
from hsr_hub.images import inspect_file, read_image
from hsr_hub.inference import best_device
from tests.hub_process import PythonProcess, run_python
from tests.test_image_io import hostile  # noqa: F401  (a fixture)
from tests.util import ROOT, run

pytestmark = pytest.mark.slow


def hsr_hub(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command in its own process."""
    words = ["-m", "hsr_hub", *map(str, arguments)]
    return run_python(words, ROOT, os.environ, timeout=600)


@pytest.fixture(scope="module")
def model_folder(model: HSRNet, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    model.save_pretrained(folder)
    return folder


def test_version_and_help():
    version = run(sys.executable, "-m", "hsr_hub", "--version")
    assert version.stdout.strip() == f"hsr-hub {__version__}"
    bare = hsr_hub()
    assert bare.returncode == 2
    assert "push-space" in bare.stderr
    assert bare.stderr.count("  hsr-hub upscale ") >= 2
    examples = bare.stderr.partition("examples:")[2].strip().splitlines()
    for example in examples:  # each one is valid
        build_parser().parse_args(shlex.split(example)[1:])


def raising(error: Exception) -> Callable[..., NoReturn]:
    def run(args: object) -> NoReturn:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("--scale is wrong"), "hsr-hub: --scale is wrong\n"),
        (FileNotFoundError("no a.png"), "hsr-hub: no a.png\n"),
        (PublishError("refused\n  repeat it"), "hsr-hub: refused\n  repeat it\n"),
        (
            KeyError("key"),
            "hsr-hub: unexpected KeyError: 'key' (repeat the command with --debug to see where)\n",
        ),
        (
            RuntimeError("two\nlines"),
            "hsr-hub: unexpected RuntimeError: two lines "
            "(repeat the command with --debug to see where)\n",
        ),
    ],
)
def test_errors_are_short_and_have_a_traceback_with_debug(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr("hsr_hub.cli.export.run", raising(error))
    command = ["export", "--onnx", "a.onnx"]
    assert main(command) == 1
    assert capsys.readouterr().err == message
    for debug in (["--debug", *command], [*command, "--debug"]):
        assert main(debug) == 1
        shown = capsys.readouterr().err
        assert shown.startswith("Traceback") and type(error).__name__ in shown


def test_the_old_spelling_of_metrics_still_works():
    for flag in ("--metrics", "--figures"):
        args = build_parser().parse_args(["push", "folder", "org/hsr", flag, "a.json", "b.json"])
        assert args.metrics == [Path("a.json"), Path("b.json")]


def test_one_file_with_the_bundled_weights(cat: Path, tmp_path: Path):
    target = tmp_path / "new" / "sharp.png"
    done = hsr_hub("upscale", cat, "-o", target)
    assert done.returncode == 0, done.stderr
    with Image.open(target) as image:
        traits, default = inspect_file(cat, read_image(cat)), default_model(best_device())
        name, reason = choose_weights(traits, 4, bundled_models(), default)
        assert f"cat.png: {reason} ({name})" in done.stderr
        expected = HSRNet.from_pretrained(name).upscale(cat)
        assert np.array_equal(np.asarray(image), np.asarray(expected))


def test_each_image_of_a_folder_gets_the_weights_that_fit(cat: Path, tmp_path: Path):
    with Image.open(cat) as image:
        small = image.convert("RGB").crop((0, 0, 48, 32))
    small.save(tmp_path / "web.jpg", quality=30)
    Image.new("RGB", (48, 32), "teal").save(tmp_path / "plain.png")
    for options, scale, weights in (
        ((), 4, {"web": "hsr-lite-x4-real", "plain": "hsr-lite-x4"}),
        (("--scale", "1"), 1, {"web": "hsr-lite-x4-real", "plain": "hsr-lite-x4-real"}),
    ):
        out = tmp_path / f"out{scale}"
        done = hsr_hub("upscale", tmp_path / "web.jpg", tmp_path / "plain.png", "-o", out, *options)
        assert done.returncode == 0, done.stderr
        for name, suffix in (("web", "jpg"), ("plain", "png")):
            expected = HSRNet.from_pretrained(weights[name]).upscale(
                tmp_path / f"{name}.{suffix}", scale=scale
            )
            with Image.open(out / f"{name}-{scale}x.png") as image:
                assert np.array_equal(np.asarray(image), np.asarray(expected)), (name, scale)
    assert "web.jpg: Compressed photo, JPEG about 30" in done.stderr


def test_strength_finds_the_detail_model(cat: Path, tmp_path: Path):
    for model in ((), ("--model", "hsr-lite-x4")):
        target = tmp_path / "out.png"
        done = hsr_hub("upscale", cat, "-o", target, "--strength", "0.5", *model)
        assert done.returncode == 0, done.stderr
        name = "hsr-lite-x4" if model else default_model(best_device())
        plain, detail = (HSRNet.from_pretrained(n) for n in (name, f"{name}-detail"))
        with Image.open(target) as image:
            expected = HSRNet.interpolate(plain, detail, 0.5).upscale(cat)
            assert np.array_equal(np.asarray(image), np.asarray(expected))


def test_models_lists_every_bundled_model_with_its_purpose(capsys):
    assert main(["models"]) == 0
    listed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert list(listed) == ["auto", *bundled_models()]
    assert "web and phone photos" in listed["hsr-lite-x4-real"]
    assert "invented" in listed["hsr-lite-x4-detail"]


def test_bad_files_in_a_folder_are_named_and_skipped(
    hostile,  # noqa: F811
    cat: Path,
    model_folder: Path,
    tmp_path: Path,
):
    folder, out = tmp_path, tmp_path.parent / f"{tmp_path.name}-out"
    (folder / "deeper").mkdir()
    with Image.open(cat) as image:
        image.crop((0, 0, 20, 15)).save(folder / "good.png")
        image.crop((0, 0, 10, 15)).convert("L").save(folder / "deeper" / "good.png")
    done = hsr_hub("upscale", folder, "-o", out, "--model", model_folder, "--scale", "2")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for name in hostile:
        assert sum(name in line for line in done.stderr.splitlines()) == 1, done.stderr
    written = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())
    assert written == ["deeper/good-2x.png", "good-2x.png"]
    with Image.open(out / "good-2x.png") as image:
        assert image.size == (40, 30)
    with Image.open(out / "deeper" / "good-2x.png") as image:
        assert (image.mode, image.size) == ("L", (20, 30))


def test_equal_names_get_suffixes_and_results_are_not_inputs(tmp_path: Path, model_folder: Path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "a.jpg", "猫.png", ".hidden.png"):
        Image.new("RGB", (6, 5)).save(folder / name)
    (folder / "folder.png").mkdir()
    arguments = ["upscale", folder, "-o", folder / "out", "--model", model_folder]
    first = run(sys.executable, "-m", "hsr_hub", *arguments, env={"PYTHONIOENCODING": "ascii"})
    for done in (first, hsr_hub(*arguments)):
        assert done.returncode == 0, done.stderr
        written = sorted(p.name for p in (folder / "out").rglob("*"))
        assert written == ["a-jpg-4x.png", "a-png-4x.png", "猫-4x.png"]


def test_later_images_do_not_take_names_of_earlier_results(tmp_path: Path, model_folder: Path):
    sources = [tmp_path / name / "a.png" for name in ("one", "two")]
    for path in (*sources, tmp_path / "one" / "a.jpg"):
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (6, 5)).save(path)
    out = tmp_path / "out"
    flags = ["-o", out, "--skip-existing", "--model", model_folder]
    assert hsr_hub("upscale", *sources, *flags).returncode == 0
    first = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert len(first) == 2
    done = hsr_hub("upscale", tmp_path / "one" / "a.jpg", *reversed(sources), *flags)
    assert done.returncode == 0, done.stderr
    assert "skipped 2 images whose results exist" in done.stderr
    both = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert len(both) == 3 and first.items() <= both.items()


@pytest.mark.parametrize("tag", [34675, 700])
def test_tiff_with_metadata_of_the_wrong_type(tmp_path: Path, model_folder: Path, tag: int):
    """Neither this image nor the next one fails."""
    folder = tmp_path / "in"
    folder.mkdir()
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[tag], tags.tagtype[tag] = 7, TiffTags.LONG
    Image.new("RGB", (6, 5)).save(folder / "a.tif", tiffinfo=tags)
    Image.new("RGB", (6, 5)).save(folder / "b.png")
    done = hsr_hub("upscale", folder, "-o", tmp_path / "out", "--model", model_folder)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["a-4x.png", "b-4x.png"]


def test_sources_are_never_overwritten(tmp_path: Path, model_folder: Path):
    for name in ("a.png", "a-4x.png"):
        Image.new("RGB", (6, 5)).save(tmp_path / name)
    a, a4 = tmp_path / "a.png", tmp_path / "a-4x.png"
    before = {path: path.read_bytes() for path in (a, a4)}
    for arguments in ([tmp_path, "-o", tmp_path], [a, "-o", a], [a, a4, "-o", tmp_path]):
        done = hsr_hub("upscale", *arguments, "--model", model_folder)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert {path: path.read_bytes() for path in before} == before
    assert sorted(tmp_path.iterdir()) == [a4, a]


def test_size_jpeg_and_strength(cat: Path, model_folder: Path, tmp_path: Path):
    mix = ("--model", model_folder, "--detail-model", model_folder, "--strength", "0.3")
    done = hsr_hub("upscale", cat, "-o", tmp_path / "out.jpg", "--size", "301x200", *mix)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "out.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (301, 200))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["{cat}", "-o", "out.dds"], "dds"),
        (["{cat}", "-o", "out.png", "--model", "nothing-here"], "nothing-here"),
        (["gone.png", "-o", "out.png"], "gone.png"),
        (
            ["{cat}", "-o", "out.png", "--strength=0.5", "--model", "hsr-lite-x4-real"],
            "--detail-model",
        ),
        (["{cat}", "-o", "out.png", "--strength", "2"], "between 0 and 1"),
        (["{cat}", "-o", "out.png", "--model=auto", "--detail-model", "hsr-x4"], "name a model"),
        (["{cat}", "-o", "out.png", "--size", "12"], "WIDTHxHEIGHT"),
        (["{cat}", "{cat}", "-o", "result.png"], "need a folder"),
        (["{cat}", "-o", "out.png", "--format", "jpg"], "contradict"),
        (["{cat}", "{cat}"], "name it by -o"),
        (["{cat}", "-o", "big.png", "--scale", "100000"], "cat.png"),
    ],
)
def test_wrong_usage_is_named_without_a_traceback(cat: Path, tmp_path: Path, arguments, named: str):
    filled = [a.format(cat=cat) for a in arguments]
    if "-o" in filled:
        filled[filled.index("-o") + 1] = str(tmp_path / filled[filled.index("-o") + 1])
    done = hsr_hub("upscale", *filled)
    assert done.returncode in (1, 2)
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_formats_sizes_and_limits(cat: Path, model_folder: Path, tmp_path: Path):
    arguments = ("upscale", cat, "--model", model_folder)
    done = hsr_hub(*arguments, "-o", tmp_path, "--width", "300", "--format", "webp", "--quality=50")
    assert done.returncode == 0, done.stderr
    assert "cat.png: 225x150 to 300x200" in done.stderr
    with Image.open(tmp_path / "cat-300w.webp") as image:
        assert (image.format, image.size) == ("WEBP", (300, 200))
    for wrong, named in (
        (["--max-megapixels", "0.1"], "0.1 megapixels"),
        (["--width", "10", "--scale", "2"], "--width"),
        (["--width", "0"], "positive"),
        (["--quality", "101"], "--quality"),
    ):
        done = hsr_hub(*arguments, "-o", tmp_path / "no.png", *wrong)
        assert done.returncode in (1, 2)
        assert named in done.stderr
        assert not (tmp_path / "no.png").exists()


def test_existing_results_can_be_skipped(cat: Path, model_folder: Path, tmp_path: Path):
    arguments = ("upscale", cat, "-o", tmp_path, "--model", model_folder, "--skip-existing")
    (tmp_path / "cat-4x.png").write_bytes(b"mine")
    done = hsr_hub(*arguments)
    assert done.returncode == 0
    assert "skipped 1 images whose results exist" in done.stderr
    assert (tmp_path / "cat-4x.png").read_bytes() == b"mine"


def test_metadata_can_be_stripped(cat: Path, model_folder: Path, tmp_path: Path):
    exif = Image.Exif()
    exif[271] = "Maker"
    with Image.open(cat) as image:
        image.convert("RGB").save(tmp_path / "in.jpg", exif=exif)
    for flags, expected in (([], "Maker"), (["--strip-metadata"], None)):
        arguments = ("upscale", tmp_path / "in.jpg", "-o", tmp_path / "out.jpg", *flags)
        assert hsr_hub(*arguments, "--model", model_folder).returncode == 0
        with Image.open(tmp_path / "out.jpg") as image:
            assert image.getexif().get(271) == expected


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_leaves_no_partial_files(cat: Path, model_folder: Path, tmp_path: Path, number):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    with Image.open(cat) as image:
        for index in range(40):
            image.save(folder / f"{index:02}.png")
    words = ["-m", "hsr_hub", "upscale", folder, "-o", out, "--model", model_folder]
    log = tmp_path / "log"
    process = PythonProcess([*map(str, words)], ROOT, os.environ, log)
    for _ in range(1200):
        if len(list(out.glob("*.png"))) >= 2:
            break
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(60) == (130 if number == signal.SIGINT else 143)
    assert "Traceback" not in log.read_text()
    results = list(out.iterdir())
    assert 2 <= len(results) < 40
    for path in results:
        with Image.open(path) as image:
            image.load()
            assert image.size == (900, 600)


def test_processes_share_a_folder(cat: Path, model_folder: Path, tmp_path: Path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    with Image.open(cat) as image:
        for index in range(5):
            image.crop((index, 0, index + 30, 20)).save(folder / f"{index}.png")
    (folder / "0-broken.png").write_bytes(b"not an image")  # process 0 fails first
    launch = (
        "-m accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1 "
        "--mixed_precision no --dynamo_backend no --main_process_port 0 -m hsr_hub upscale"
    )
    words = [*launch.split(), str(folder), "-o", str(out), "--model", str(model_folder)]
    env = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = run_python([*words, "--device", "cpu"], ROOT, env, timeout=600)
    assert done.returncode != 0
    assert sorted(p.name for p in out.iterdir()) == [f"{i}-4x.png" for i in range(5)]
    assert done.stdout.count("-4x.png") == 5  # each image by one process


def test_evaluate_prints_and_writes_the_metrics(test_set: Path, model_folder: Path, tmp_path: Path):
    result = tmp_path / "metrics.json"
    done = hsr_hub("evaluate", "--model", model_folder, "--data", test_set, "--json", result)
    assert done.returncode == 0, done.stderr
    metrics = json.loads(result.read_text())
    # The same as computed directly.
    model = HSRNet.from_pretrained(model_folder)
    expected = []
    for lq_path, gt_path in find_pairs(test_set, 4):
        lq, gt = read_pair(lq_path, gt_path, 4)
        expected.append(psnr_y(model.upscale(lq), gt, border=4))
    assert metrics["psnr_y"] == pytest.approx(np.mean(expected))
    assert f"{metrics['psnr_y']:.2f}" in done.stdout
    assert metrics["images"] == 3
    assert metrics["peak_memory_mib"] > 50


def test_evaluate_names_a_missing_folder(model_folder: Path, tmp_path: Path):
    done = hsr_hub("evaluate", "--model", model_folder, "--data", tmp_path)
    assert done.returncode == 1
    assert "HR/" in done.stderr
    assert "Traceback" not in done.stderr
