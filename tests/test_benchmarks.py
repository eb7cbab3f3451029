"""The results in the documentation equal the JSON files, and the benchmarks run."""

from __future__ import annotations

import filecmp
import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmarks import degradation_protocol, plots, results_tables, tables, training_parts
from benchmarks.degrade import degrade_set
from benchmarks.peers import REAL_ESRGAN
from benchmarks.single_degradations import DEGRADATIONS
from hsr_hub.evaluation import consistency
from hsr_hub.hub import bundled_models
from tests.training import write_small_vgg
from tests.util import run


@pytest.mark.parametrize("path", results_tables.TARGETS, ids=lambda path: path.name)
def test_the_documentation_equals_the_measured_results(path: Path):
    text = path.read_text(encoding="utf-8")
    assert results_tables.rewritten(path) == text, "run `python -m benchmarks.results_tables`"


def test_every_bundled_model_was_measured():
    """By name only; test_evaluation compares the metrics."""
    measured = {row["method"] for row in tables.read("quality")["rows"]}
    mixed = {row["method"] for row in tables.read("quality")["rows"] if row["strength"] == 1}
    timed = {row["name"] for row in tables.read("speed")["rows"] if row["ours"]}
    alone = {name for name in bundled_models() if not name.endswith("-detail")}
    assert alone <= measured and alone <= timed
    assert {name.removesuffix("-detail") for name in set(bundled_models()) - alone} <= mixed


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the JSON files that the tables are made from."""
    for path in tables.RESULTS.glob("*.json"):
        (tmp_path / path.name).write_text(path.read_text())
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    return tmp_path


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    results = json.loads(path.read_text())
    edit(results)
    path.write_text(json.dumps(results))


def test_the_documentation_follows_the_json_files(results: Path):
    change(results / "load.json", lambda r: r["rows"][0].update(peak_mib=123_456))
    assert "123456 MiB" in results_tables.rewritten(results_tables.PAGE)


def real_esrgan_row(results: dict[str, Any]) -> dict[str, Any]:
    row = next(r for r in results["rows"] if r["set"] == "BSD100-degraded" and r["level"] == 4)
    return {**row, "method": REAL_ESRGAN, "strength": None, "lpips": 0.001, "psnr_y": 1.23}


@pytest.mark.parametrize("measured", [True, False])
def test_peers_are_in_tables_and_plots_only_if_they_were_measured(
    results: Path, tmp_path: Path, measured: bool
):
    def keep_ours(r: dict[str, Any]) -> None:
        r["rows"] = [row for row in r["rows"] if row.get("ours", True)]
        r["rows"] = [row for row in r["rows"] if row.get("method") != REAL_ESRGAN]

    def keep_ours_by_column(r: dict[str, Any]) -> None:
        for row in r["rows"]:
            row.pop(REAL_ESRGAN, None)

    change(results / "auto_choice.json", keep_ours_by_column)
    change(results / "quality.json", keep_ours)
    change(results / "speed.json", keep_ours)
    change(results / "memory.json", keep_ours)
    if measured:
        name = results_tables.SPEED_NAMES[REAL_ESRGAN]
        change(results / "quality.json", lambda r: r["rows"].append(real_esrgan_row(r)))
        change(
            results / "speed.json",
            lambda r: r["rows"].append(
                {**r["rows"][0], "name": name, "ours": False, "seconds_per_megapixel": 7.7}
            ),
        )
    short, page = (results_tables.rewritten(path) for path in results_tables.TARGETS)
    row = f"| {REAL_ESRGAN} | - | - | 1.23 | **0.001** | 7.7 |"
    assert (row in short) is measured
    assert (f"| {REAL_ESRGAN} |" in page) is measured
    plots.draw(tmp_path)
    assert (tmp_path / "pareto.png").stat().st_size > 10_000


def test_the_best_value_of_a_column_is_bold():
    assert tables.column([1, 3, None, 2.999], ".2f") == [
        "1.00",
        "**3.00**",
        "-",
        "**3.00**",
    ]
    assert tables.column([1, 3], ".0f", lower=True) == ["**1**", "3"]
    assert tables.column([None], ".0f") == ["-"]


@pytest.mark.slow
def test_quality_measures_any_test_set(test_set: Path, tmp_path: Path):
    target, folder = tmp_path / "quality.json", tmp_path / "sets" / test_set.name
    shutil.copytree(test_set, folder)
    (folder / "LRx2").mkdir()
    for path in (folder / "HR").iterdir():
        with Image.open(path) as image:
            lq = image.resize((image.width // 2, image.height // 2), Image.Resampling.BICUBIC)
        lq.save(folder / "LRx2" / path.name)
    flags = ["--data", str(folder.parent), "--degrade", test_set.name]
    grid = tmp_path / "grid.png"
    flags += ["--models", "hsr-lite-x4", "hsr-lite-x4-real"]
    flags += ["--json", str(target), "--grid", str(grid)]
    done = run(sys.executable, "-m", "benchmarks.quality", *flags)
    assert done.returncode == 0, done.stderr
    results = json.loads(target.read_text())
    rows = results["rows"]
    clean = [row for row in rows if row["set"] == test_set.name]
    by = {(row["method"], row["strength"], row["level"]): row for row in clean}
    assert {level for *_, level in by} == {1, 2, 4}
    ours, bicubic = by["hsr-lite-x4", 0, 4], by["bicubic", None, 4]
    assert ours["psnr_y"] > bicubic["psnr_y"] and ours["consistency"] > 35
    assert ours["colour_drift"] < 3 and bicubic["colour_drift"] == 0
    assert by["bicubic", None, 1]["consistency"] == 60  # the unchanged input
    degraded = {row["method"]: row for row in rows if row not in clean and row["level"] == 4}
    assert {row["set"] for row in degraded.values()} == {f"{test_set.name}-degraded"}
    assert degraded["bicubic"]["psnr_y"] < bicubic["psnr_y"]
    assert {row["degradation"] for row in results["single_degradations"]} == set(DEGRADATIONS)
    assert all(row["before"] < 40 for row in results["single_degradations"])
    with Image.open(grid) as image:  # the columns of the JSON, and the original
        assert image.width / 216 == len(results["comparison_grid"]) + 1


def test_degraded_sets_are_the_same_every_time(test_set: Path, tmp_path: Path):
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        degrade_set(test_set, tmp_path / name, seed=seed)
    names = [f"LRx4/{path.name}" for path in (test_set / "LRx4").iterdir()]
    _, differ, missing = filecmp.cmpfiles(tmp_path / "one", tmp_path / "two", names, shallow=False)
    assert not differ and not missing
    same, *_ = filecmp.cmpfiles(tmp_path / "one", tmp_path / "other", names, shallow=False)
    assert not same


def test_the_protocol_of_degraded_sets_does_not_drift(monkeypatch: pytest.MonkeyPatch):
    """All but the codec, whose pixels depend on the version of the JPEG library."""
    digest = hashlib.sha256()

    def record(image: Image.Image, quality: int, subsampling: str) -> Image.Image:
        digest.update(f"{quality} {subsampling}".encode())
        return image

    monkeypatch.setattr(degradation_protocol, "_compressed", record)
    y, x = np.mgrid[:64, :96]
    gt = np.dstack([x * 5 % 256, y * 7 % 256, (x * y) % 256]).astype(np.uint8)
    for seed in range(8):
        digest.update(degradation_protocol.degrade(gt, 4, np.random.default_rng(seed)).tobytes())
    assert digest.hexdigest() == "1a19c0def42277de98686acd8d0439d9816efb8c8e1151cc54f674810db6e743"


@given(value=st.integers(0, 255), shift=st.integers(1, 20))
def test_consistency_of_a_known_error(value: int, shift: int):
    lq = np.full((6, 5, 3), min(value, 255 - shift), np.uint8)
    sr = np.asarray(Image.fromarray(lq + np.uint8(shift)).resize((20, 24)))
    assert consistency(sr, lq) == pytest.approx(20 * np.log10(255 / shift))
    assert consistency(np.asarray(Image.fromarray(lq).resize((20, 24))), lq) == float("inf")


def test_the_parts_of_a_training_step_are_measured(tmp_path: Path, monkeypatch):
    vgg = write_small_vgg(tmp_path / "vgg.safetensors")
    flags = ["--crop_size", "32", "--train_batch_size", "1", "--discriminator_width", "4"]
    flags += ["--perceptual_weights_path", str(vgg), "--perceptual_layers", "conv1_2"]
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    monkeypatch.setenv("HSR_DATA", str(tmp_path))  # so the photos are the examples
    training_parts.main(["--repeats", "1", "--json", str(tmp_path / "parts.json"), *flags])
    rows = json.loads((tmp_path / "parts.json").read_text())["rows"]
    found = {row["stage"]: row["milliseconds"] for row in rows}
    parts = {"data", "labels", "generator", "pixel terms", "step"}
    assert set(found["fidelity"]) == parts
    assert set(found["detail"]) == parts | {"VGG-19", "discriminator"}
    assert all(value > 0 for values in found.values() for value in values.values())
