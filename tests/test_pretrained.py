"""Saving weights, and loading them strictly from folders and from the package."""

from __future__ import annotations

import json
import os
import pickle
import struct
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from hsr_hub import HSRNet
from hsr_hub.hub import BUNDLED, bundled_models
from tests.hub_process import run_python
from tests.training import same_weights
from tests.util import run


@pytest.fixture
def saved(model: HSRNet, tmp_path: Path) -> Path:
    model.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def test_save_load_round_trip(model: HSRNet, saved: Path):
    assert {p.name for p in saved.iterdir()} == {"config.json", "model.safetensors", "README.md"}
    loaded = HSRNet.from_pretrained(saved)
    assert not loaded.training
    assert loaded.config == model.config
    assert same_weights(loaded, model)
    lq = torch.rand(1, 3, 9, 8)
    torch.testing.assert_close(loaded(lq), model(lq), rtol=0, atol=0)


def test_weights_are_as_readable_as_the_configuration(saved: Path):
    modes = {(saved / name).stat().st_mode for name in ("config.json", "model.safetensors")}
    assert len(modes) == 1


def test_config_holds_every_argument_and_round_trips(tmp_path: Path):
    HSRNet(scale=2, kernel_sizes=(3, 5)).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    # Defaults are written out, so that other defaults in a later version change nothing.
    assert config == {
        "scale": 2,
        "kernel_sizes": [3, 5],
        "widths": [48, 16],
        "dilations": [2, 2, 2],
        "fusion_width": 48,
        "reconstruction_widths": [24],
    }
    again = HSRNet.from_pretrained(tmp_path)
    assert again.config == config
    assert HSRNet(**config).config == config


def test_half_precision_weights_load_as_float32(model: HSRNet, tmp_path: Path):
    model.save_pretrained(tmp_path)
    half = {k: v.half() for k, v in load_file(tmp_path / "model.safetensors").items()}
    save_file(half, tmp_path / "model.safetensors")
    loaded = HSRNet.from_pretrained(str(tmp_path))
    assert next(loaded.parameters()).dtype == torch.float32
    torch.testing.assert_close(
        loaded.fusion.conv1.weight, model.fusion.conv1.weight, atol=1e-3, rtol=1e-3
    )


def test_card_has_the_metadata_of_the_class(saved: Path):
    text = (saved / "README.md").read_text()
    data = yaml.safe_load(text.split("---")[1])
    assert data["library_name"] == "hsr-hub"
    assert data["pipeline_tag"] == "image-to-image"
    assert data["license"] == "apache-2.0"
    assert {"super-resolution", "pytorch_model_hub_mixin"} <= set(data["tags"])
    assert "CN 111369440" in text


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_missing_file_is_named(saved: Path, missing: str):
    (saved / missing).unlink()
    with pytest.raises(FileNotFoundError, match=missing):
        HSRNet.from_pretrained(saved)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[1]",
        "[" * 100_000,
        "\xff",
        '{"scale": 5}',
        '{"scale": "4"}',
        '{"kernel_sise": [3]}',
        '{"dilations": [1.5, 2, 2]}',
        '{"fusion_width": 100000000000}',
    ],
)
def test_broken_config_is_named(saved: Path, content: str):
    (saved / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match=r"config\.json"):
        HSRNet.from_pretrained(saved)


def test_renamed_missing_and_misshapen_tensors_are_named(saved: Path):
    path = saved / "model.safetensors"
    state = load_file(path)
    state["fusion.renamed"] = state.pop("fusion.conv1.bias")
    state["fusion.conv2.bias"] = torch.zeros(99)
    save_file(state, path)
    with pytest.raises(ValueError) as error:
        HSRNet.from_pretrained(saved)
    for part in ("fusion.conv1.bias", "fusion.renamed", "fusion.conv2.bias is [99]"):
        assert part in str(error.value)


def safetensors_file(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


HOSTILE_FILES = {
    "empty": b"",
    "text": b"this is not a safetensors file",
    "huge header": struct.pack("<Q", 1 << 60) + b"{}",
    "nested header": safetensors_file(b'{"a":' * 100_000),
    "list as header": safetensors_file([1, 2]),
    "end past the file": safetensors_file(
        {"x": {"dtype": "F32", "shape": [9], "data_offsets": [0, 1 << 40]}}
    ),
    "negative shape": safetensors_file(
        {"x": {"dtype": "F32", "shape": [-8], "data_offsets": [0, 32]}}, bytes(32)
    ),
    "overflowing shape": safetensors_file(
        {"x": {"dtype": "F32", "shape": [1 << 62, 1 << 62], "data_offsets": [0, 32]}}, bytes(32)
    ),
    "overlap": safetensors_file(
        {
            "x": {"dtype": "F32", "shape": [8], "data_offsets": [0, 32]},
            "y": {"dtype": "F32", "shape": [8], "data_offsets": [0, 32]},
        },
        bytes(32),
    ),
    "no dtype": safetensors_file({"x": {"shape": [8], "data_offsets": [0, 32]}}, bytes(32)),
}


@pytest.mark.parametrize("kind", [*HOSTILE_FILES, "cut in half", "cut at the end", "longer"])
def test_broken_weights_are_named(saved: Path, kind: str):
    path = saved / "model.safetensors"
    sound = path.read_bytes()
    variants = {
        "cut in half": sound[: len(sound) // 2],
        "cut at the end": sound[:-7],
        "longer": sound + b"more",
    }
    path.write_bytes({**HOSTILE_FILES, **variants}[kind])
    with pytest.raises(ValueError, match=r"model\.safetensors is not a valid safetensors file"):
        HSRNet.from_pretrained(saved)


def test_weights_of_an_unknown_number_format_are_named(saved: Path):
    path = saved / "model.safetensors"
    state = load_file(path)
    state["fusion.conv1.bias"] = state["fusion.conv1.bias"].to(torch.int32)
    save_file(state, path)
    with pytest.raises(ValueError, match=r"fusion\.conv1\.bias holds I32"):
        HSRNet.from_pretrained(saved)


class Canary:
    """Object that creates a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return (Path.touch, (self.file,))


def test_pickle_is_not_opened(saved: Path, tmp_path: Path):
    sprung = tmp_path / "sprung"
    (saved / "model.safetensors").unlink()
    (saved / "pytorch_model.bin").write_bytes(pickle.dumps(Canary(sprung)))
    with pytest.raises(FileNotFoundError, match="pickles"):
        HSRNet.from_pretrained(saved)
    assert not sprung.exists()


def test_saving_keeps_an_edited_card(model: HSRNet, saved: Path):
    assert 'from_pretrained("saved")' in (saved / "README.md").read_text()
    (saved / "README.md").write_text("my own words")
    model.save_pretrained(saved)
    assert (saved / "README.md").read_text() == "my own words"


def test_folder_comes_before_a_bundled_model_only_if_it_has_a_config(
    tmp_path: Path, monkeypatch, model
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hsr-lite-x4").mkdir()
    assert HSRNet.from_pretrained("hsr-lite-x4").config["kernel_sizes"] == [3, 5, 7]
    model.save_pretrained("hsr-lite-x4")
    assert HSRNet.from_pretrained("hsr-lite-x4").config == model.config


def test_unknown_name_lists_the_bundled_models():
    with pytest.raises(FileNotFoundError, match="hsr-lite-x4"):
        HSRNet.from_pretrained("no-such-set")


def test_saving_refuses_arguments_that_it_cannot_honour(model: HSRNet, tmp_path: Path):
    with pytest.raises(ValueError, match="config must be that of the network"):
        model.save_pretrained(tmp_path / "a", config={**model.config, "scale": 2})
    with pytest.raises(TypeError, match=r"\['private'\] need push_to_hub=True"):
        model.save_pretrained(tmp_path / "a", private=True)
    with pytest.raises(TypeError, match="allow_patterns"):
        model.save_pretrained(tmp_path / "a", push_to_hub=True, allow_patterns="*")
    with pytest.raises(TypeError, match="max_shard_size"):
        HSRNet.from_pretrained(tmp_path, max_shard_size=1)  # pyright: ignore[reportCallIssue]
    assert not (tmp_path / "a").exists()
    model.save_pretrained(tmp_path / "a", config=model.config)
    assert HSRNet.from_pretrained(tmp_path / "a").config == model.config


def test_failed_save_leaves_the_old_files(model: HSRNet, saved: Path, monkeypatch):
    before = {p.name: p.read_bytes() for p in saved.iterdir()}

    def fail(*_):
        (saved / "seen").touch()
        raise OSError("disk full")

    monkeypatch.setattr("hsr_hub.hub.checkpoint.save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        HSRNet(**model.config).save_pretrained(saved)
    (saved / "seen").unlink()
    assert {p.name: p.read_bytes() for p in saved.iterdir()} == before


def test_bundled_models_load_without_a_network(tmp_path: Path):
    assert "hsr-lite-x4" in bundled_models()
    code = """
import socket, sys
def refuse(*_): raise AssertionError("a bundled model asked for the network")
socket.socket.connect = refuse
from hsr_hub import HSRNet
for name in sys.argv[1:]:
    print(name, HSRNet.from_pretrained(name).scale)
"""
    # From another folder, so that no file of the repository is found by accident.
    env = {**os.environ, "HF_ENDPOINT": "http://[::1]:9"}
    done = run_python(["-c", code, *bundled_models()], tmp_path, env, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "hsr-lite-x4 4" in done.stdout
    for name in bundled_models():
        names = {p.name for p in (BUNDLED / name).iterdir()}
        assert names >= {"config.json", "model.safetensors", "README.md"}


def test_import_is_light():
    code = "import hsr_hub, sys; print([m for m in %r if m in sys.modules])"
    heavy = ["accelerate", "gradio", "torchvision", "skimage", "matplotlib"]
    assert run(sys.executable, "-c", code % heavy).stdout.strip() == "[]"
