"""Weights: saved, loaded strictly, refused with the reason; from folders, the package and HTTP."""

from __future__ import annotations

import json
import pickle
import struct
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from hsr_hub import HSRNet
from hsr_hub.checkpoint import SHIPPED, shipped_names
from tests.util import run


@pytest.fixture
def saved(model: HSRNet, tmp_path: Path) -> Path:
    model.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def same_weights(a: HSRNet, b: HSRNet) -> bool:
    pairs = zip(a.state_dict().items(), b.state_dict().items(), strict=True)
    return all(m == n and torch.equal(x, y) for (m, x), (n, y) in pairs)


def test_save_load_round_trip(model: HSRNet, saved: Path):
    assert {p.name for p in saved.iterdir()} == {"config.json", "model.safetensors", "README.md"}
    loaded = HSRNet.from_pretrained(saved)
    assert not loaded.training
    assert loaded.config == model.config
    assert same_weights(loaded, model)
    lq = torch.rand(1, 3, 9, 8)
    torch.testing.assert_close(loaded(lq), model(lq), rtol=0, atol=0)


def test_config_holds_every_argument_and_round_trips(tmp_path: Path):
    HSRNet(scale=2, kernel_sizes=(3, 5)).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    # What was left to a default is written out, so that a later default changes nothing here.
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


def test_channels_last_and_half_weights_load(model: HSRNet, tmp_path: Path):
    model.save_pretrained(tmp_path)
    half = {k: v.half() for k, v in load_file(tmp_path / "model.safetensors").items()}
    save_file(half, tmp_path / "model.safetensors")
    loaded = HSRNet.from_pretrained(str(tmp_path))
    assert next(loaded.parameters()).dtype == torch.float32
    torch.testing.assert_close(
        loaded.fusion.conv1.weight, model.fusion.conv1.weight, atol=1e-3, rtol=1e-3
    )


def test_class_metadata_reaches_the_card(saved: Path):
    text = (saved / "README.md").read_text()
    data = yaml.safe_load(text.split("---")[1])
    assert data["library_name"] == "hsr_hub"
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
        *("", "{", "[1]", "[" * 100_000, "\xff"),
        *('{"scale": 5}', '{"scale": "4"}', '{"kernel_sise": [3]}', '{"dilations": [1.5, 2, 2]}'),
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


@pytest.mark.parametrize("kind", ["empty", "text", "cut off", "lying header", "huge header"])
def test_broken_weights_are_named(saved: Path, kind: str):
    path = saved / "model.safetensors"
    sound = path.read_bytes()
    header = json.dumps({"x": {"dtype": "F32", "shape": [9], "data_offsets": [0, 1 << 40]}})
    path.write_bytes(
        {
            "empty": b"",
            "text": b"these are no weights at all",
            "cut off": sound[: len(sound) // 2],
            "lying header": struct.pack("<Q", len(header)) + header.encode(),
            "huge header": struct.pack("<Q", 1 << 60) + sound[8:],
        }[kind]
    )
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        HSRNet.from_pretrained(saved)


class Canary:
    """Says so when a pickle of it is opened."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return (Path.touch, (self.file,))


def test_a_pickle_is_never_opened(saved: Path, tmp_path: Path):
    sprung = tmp_path / "sprung"
    (saved / "model.safetensors").unlink()
    (saved / "pytorch_model.bin").write_bytes(pickle.dumps(Canary(sprung)))
    with pytest.raises(FileNotFoundError, match="pickles"):
        HSRNet.from_pretrained(saved)
    assert not sprung.exists()


def test_a_card_that_was_edited_stays(model: HSRNet, saved: Path):
    assert 'from_pretrained("saved")' in (saved / "README.md").read_text()
    (saved / "README.md").write_text("my own words")
    model.save_pretrained(saved)
    assert (saved / "README.md").read_text() == "my own words"


def test_a_folder_named_as_a_shipped_set_needs_a_config(tmp_path: Path, monkeypatch, model):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hsr-lite-x4").mkdir()
    assert HSRNet.from_pretrained("hsr-lite-x4").config["kernel_sizes"] == [3, 5, 7]
    model.save_pretrained("hsr-lite-x4")
    assert HSRNet.from_pretrained("hsr-lite-x4").config == model.config


def test_unknown_name_lists_what_there_is():
    with pytest.raises(FileNotFoundError, match="hsr-lite-x4"):
        HSRNet.from_pretrained("no-such-set")


def test_interrupted_save_leaves_the_old_files(model: HSRNet, saved: Path, monkeypatch):
    before = {p.name: p.read_bytes() for p in saved.iterdir()}

    def fail(*_):
        (saved / "seen").touch()
        raise OSError("disk full")

    monkeypatch.setattr("hsr_hub.checkpoint.save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        HSRNet(**model.config).save_pretrained(saved)
    (saved / "seen").unlink()
    assert {p.name: p.read_bytes() for p in saved.iterdir()} == before


def test_shipped_sets_load_in_a_process_without_network(tmp_path: Path):
    assert "hsr-lite-x4" in shipped_names()
    code = """
import socket, sys
def refuse(*_): raise AssertionError("a shipped set asked for the network")
socket.socket.connect = refuse
from hsr_hub import HSRNet
for name in sys.argv[1:]:
    print(name, HSRNet.from_pretrained(name).scale)
"""
    # From another folder, where no file of the repository lies about.
    done = run(
        sys.executable,
        "-c",
        code,
        *shipped_names(),
        cwd=tmp_path,
        env={"HF_ENDPOINT": "http://[::1]:9"},
    )
    assert done.returncode == 0, done.stderr
    assert "hsr-lite-x4 4" in done.stdout
    for name in shipped_names():
        names = {p.name for p in (SHIPPED / name).iterdir()}
        assert names >= {"config.json", "model.safetensors", "README.md"}


def test_import_is_light():
    code = "import hsr_hub, sys; print([m for m in %r if m in sys.modules])"
    heavy = ["accelerate", "gradio", "torchvision", "skimage", "matplotlib"]
    assert run(sys.executable, "-c", code % heavy).stdout.strip() == "[]"


@pytest.fixture
def hub() -> Iterator[tuple[str, dict[str, bytes], list[str]]]:
    """A server on loopback that answers as the Hub does when a file is downloaded.

    Its address, the files of its one repository org/net (to be filled), and the requests it got.
    """
    files: dict[str, bytes] = {}
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            self.answer(body=True)

        def answer(self, body: bool):
            token = self.headers.get("Authorization", "")
            requests.append(f"{self.command} {self.path} {token}".strip())
            prefix = "/org/net/resolve/"
            revision, _, name = self.path.removeprefix(prefix).partition("/")
            content = files.get(name) if self.path.startswith(prefix) else None
            self.send_response(200 if content is not None else 404)
            if content is None:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("X-Repo-Commit", f"{revision:0<40}"[:40])
            self.send_header("ETag", f'"{abs(hash(content)):040x}"')
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            if body and content:
                self.wfile.write(content)

        def log_message(self, format: str, *args: object):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", files, requests
    server.shutdown()


LOAD = """
import sys
from hsr_hub import HSRNet
options = dict(pair.split("=", 1) for pair in sys.argv[1:])
print(HSRNet.from_pretrained("org/net", **options).config["widths"])
"""


def test_from_a_hub_over_http(hub, saved: Path, tmp_path: Path):
    """The real client library in its own process, against a server that speaks the protocol."""
    address, files, requests = hub
    for path in saved.iterdir():
        files[path.name] = path.read_bytes()
    cache = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1"}

    done = run(sys.executable, "-c", LOAD, "revision=v1", "token=hf_secret", env=cache)
    assert done.stdout.strip() == "[8, 4]", done.stderr
    assert any("/resolve/v1/config.json Bearer hf_secret" in r for r in requests)
    assert any("/resolve/v1/model.safetensors Bearer hf_secret" in r for r in requests)
    assert "hf_secret" not in done.stdout + done.stderr

    # The second time nothing is asked for when the user says so.
    requests.clear()
    done = run(sys.executable, "-c", LOAD, "revision=v1", env={**cache, "HF_HUB_OFFLINE": "1"})
    assert done.stdout.strip() == "[8, 4]", done.stderr
    assert requests == []


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_hub_without_one_of_the_files(hub, saved: Path, tmp_path: Path, missing: str):
    address, files, requests = hub
    for path in saved.iterdir():
        files[path.name] = path.read_bytes()
    del files[missing]
    files["pytorch_model.bin"] = pickle.dumps(Canary(tmp_path / "sprung"))
    done = run(
        sys.executable, "-c", LOAD, env={"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "cache")}
    )
    assert f"FileNotFoundError: Hub repository org/net has no {missing}" in done.stderr
    assert not any("pytorch_model.bin" in request for request in requests)
    assert not (tmp_path / "sprung").exists()
