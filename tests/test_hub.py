"""Push to a double of the Hub and pull from it over HTTP, by the real client."""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from hsr_hub import HSRNet
from tests.hub_client import client
from tests.hub_double import READ_TOKEN, Fault, Hub
from tests.test_pretrained import Canary
from tests.util import run

pytestmark = pytest.mark.slow

OLDEST = "1.16"
"""The oldest huggingface_hub that pyproject.toml allows."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub().serve() as hub:
        yield hub


@pytest.fixture(scope="module")
def folder(model: HSRNet, tmp_path_factory) -> Path:
    """Return a trained folder with the other files that a training leaves."""
    folder = tmp_path_factory.mktemp("trained") / "fidelity"
    model.save_pretrained(folder)
    Image.effect_noise((64, 64), 60).save(folder / "sample.png")
    Image.new("RGB", (5, 5)).save(folder / "holiday.png")
    (folder / "log.jsonl").write_text("{}\n")
    (folder / "checkpoint-5").mkdir()
    (folder / "checkpoint-5" / "model_1.safetensors").write_bytes(b"a discriminator")
    Image.new("RGB", (5, 5)).save(folder / "checkpoint-5" / "sample.png")
    return folder


@pytest.fixture(scope="session")
def oldest(tmp_path_factory) -> str:
    """Return a folder with the oldest supported client, for PYTHONPATH."""
    target = tmp_path_factory.mktemp("oldest")
    command = f"-m pip install -q --disable-pip-version-check --no-deps --target {target}"
    done = run(sys.executable, *command.split(), f"huggingface_hub=={OLDEST}.*")
    assert done.returncode == 0, done.stderr
    return str(target)


def digest(model: HSRNet) -> str:
    """Return a hash of an output, which depends on all weights."""
    lq = torch.linspace(0, 1, 3 * 9 * 8).reshape(1, 3, 9, 8)
    with torch.inference_mode():
        return hashlib.sha256(model(lq)[-1].numpy().tobytes()).hexdigest()


PULL = """
import hashlib, json, sys, torch, huggingface_hub
from hsr_hub import HSRNet
if sys.argv[2:]:
    assert huggingface_hub.__version__.startswith(sys.argv[2]), huggingface_hub.__version__
model = HSRNet.from_pretrained("org/hsr", **json.loads(sys.argv[1]))
lq = torch.linspace(0, 1, 3 * 9 * 8).reshape(1, 3, 9, 8)
with torch.inference_mode():
    print(hashlib.sha256(model(lq)[-1].numpy().tobytes()).hexdigest())
"""

WAYS = {
    "2.x": {},
    "2.x without xet": {"HF_HUB_DISABLE_XET": "1"},
    "oldest": {},
}


@pytest.mark.parametrize("way", WAYS)
def test_push_then_pull(way: str, hub: Hub, folder: Path, model: HSRNet, tmp_path: Path, request):
    """Transfer by Xet (2.x), by LFS in parts, and with the oldest client, which asks the Hub."""
    more, version = dict(WAYS[way]), "2."
    if way == "oldest":
        place, version = request.getfixturevalue("oldest"), f"{OLDEST}."
        more["PYTHONPATH"] = f"{place}:{Path(__file__).parents[1]}"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    push = ("-m", "hsr_hub", "push", folder, "org/hsr", "--private", "--tag", "v1.0")
    pushed = client(hub, tmp_path / "a", *push, env=more)
    assert pushed.returncode == 0, pushed.stderr
    repo = hub.repo("org/hsr")
    names = {".gitattributes", "config.json", "model.safetensors", "README.md", "sample.png"}
    assert set(repo.files()) == names
    assert repo.files()["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert hub.count("commit") == 1
    assert repo.private
    assert repo.tags == {"v1.0": repo.refs["main"]}
    assert pushed.stdout.strip() == f"{hub.endpoint}/org/hsr/commit/{repo.refs['main']}"
    assert (hub.count("xorb"), hub.count("lfs-put") > 0) == ((0, True) if more else (1, False))
    assert {path: path.read_bytes() for path in before} == before

    # With a fresh cache. The repository is private, so the code passes the token.
    # The first download of the weights is cut off and resumed.
    hub.faults = [Fault("cdn", "half", times=1), Fault("cas-data", "half", times=1)]
    arguments = json.dumps({"revision": "v1.0", "token": READ_TOKEN})
    pulled = client(hub, tmp_path / "b", "-c", PULL, arguments, version, token="", env=more)
    assert pulled.stdout.strip() == digest(model), pulled.stderr
    # No token is sent to the host of the large files.
    assert not any(seen.token for seen in hub.seen if seen.name in ("cdn", "cas-data", "lfs-put"))
    if way == "2.x":
        refused = client(hub, tmp_path / "c", "-c", PULL, "{}", token="")
        assert "RepositoryNotFoundError: 401" in refused.stderr
    hub.seen.clear()
    for offline, arguments in (("1", {}), ("0", {"local_files_only": True})):
        text = json.dumps({**arguments, "revision": "v1.0"})
        more["HF_HUB_OFFLINE"] = offline
        again = client(hub, tmp_path / "b", "-c", PULL, text, token="", env=more)
        assert again.stdout.strip() == digest(model), again.stderr
    assert hub.seen == []


def test_new_commits_are_loaded_and_the_cache_is_used_if_the_hub_fails(
    hub: Hub, folder: Path, model: HSRNet, tmp_path: Path
):
    hub.put("org/hsr", {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()})
    home = tmp_path / "home"
    assert client(hub, home, "-c", PULL, "{}").stdout.strip() == digest(model)
    hub.repo("org/hsr").tags["old"] = hub.repo("org/hsr").refs["main"]
    state = load_file(folder / "model.safetensors")
    other = {k: v + 0.01 if v.is_floating_point() else v for k, v in state.items()}
    save_file(other, tmp_path / "new.safetensors")
    moved = hub.put("org/hsr", {"model.safetensors": (tmp_path / "new.safetensors").read_bytes()})
    new = client(hub, home, "-c", PULL, "{}").stdout.strip()
    assert new and new != digest(model)
    # Both files came from one commit.
    snapshots = home / "hub" / "models--org--hsr" / "snapshots" / moved
    assert {p.name for p in snapshots.iterdir()} == {"config.json", "model.safetensors"}
    assert client(hub, home, "-c", PULL, '{"revision": "old"}').stdout.strip() == digest(model)
    # The cache is used if the Hub answers 503, cuts connections or is down.
    for how in (503, "cut"):
        hub.faults = [Fault("resolve", how)]
        assert client(hub, home, "-c", PULL, "{}").stdout.strip() == new
    done = client(hub, home, "-c", PULL, "{}", env={"HF_ENDPOINT": "http://127.0.0.1:9"})
    assert done.stdout.strip() == new, done.stderr


PUSH = """
import sys
from hsr_hub import HSRNet
model = HSRNet.from_pretrained(sys.argv[1])
card = {"training": "By hand.", "degradation": "real"}
print(model.push_to_hub("org/hsr", private=True, tag="v1.0", model_card_kwargs=card))
"""


def test_push_from_python_then_run_the_snippet_of_the_card(
    hub: Hub, folder: Path, model: HSRNet, small_photo: Image.Image, tmp_path: Path
):
    home = tmp_path / "home"
    hub.faults = [Fault("commit", "cut")]
    done = client(hub, home, "-c", PUSH, folder)
    last = "To repeat it:\n  model.push_to_hub('org/hsr', ...)  # with the same arguments\n"
    assert done.stderr.endswith(last), done.stderr
    hub.faults = []
    done = client(hub, home, "-c", PUSH, folder)
    repo = hub.repo("org/hsr")
    assert done.stdout.strip() == f"{hub.endpoint}/org/hsr/commit/{repo.tags['v1.0']}", done.stderr
    names = {".gitattributes", "config.json", "model.safetensors", "README.md"}
    assert set(repo.files()) == names
    assert repo.private and len(repo.commits) == 2
    card = repo.files()["README.md"].decode()
    assert "By hand." in card

    snippet = re.search(r"```python\n(.*?)```", card, flags=re.DOTALL)
    assert snippet
    small_photo.save(tmp_path / "photo.jpg")
    done = client(hub, tmp_path / "other", "-c", snippet[1], cwd=tmp_path, token=READ_TOKEN)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "photo-4x.png") as result:
        assert np.array_equal(np.asarray(result), model.upscale(tmp_path / "photo.jpg"))


LOAD_EACH = """
import json, sys
from hsr_hub import HSRNet
for repo_id in sys.argv[1:]:
    name, _, revision = repo_id.partition("@")
    try:
        model = HSRNet.from_pretrained(name, revision=revision or None)
        text = f"loaded {model.config['widths']}"
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
    print(json.dumps([repo_id, text]))
"""


def load_each(hub: Hub, home: Path, *repo_ids: str) -> dict[str, str]:
    """Return what loading each repository prints, in one fresh process."""
    done = client(hub, home, "-c", LOAD_EACH, *repo_ids)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(line) for line in done.stdout.splitlines())


def lying(content: bytes, **changes: dict[str, Any]) -> bytes:
    """Return a safetensors file with changed entries in its header."""
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    for key, change in changes.items():
        header[key.replace("__", ".")].update(change)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def test_broken_repositories_are_refused_with_the_reason(hub: Hub, folder: Path, tmp_path: Path):
    config, weights = ((folder / n).read_bytes() for n in ("config.json", "model.safetensors"))
    pickled = pickle.dumps(Canary(tmp_path / "sprung"))
    state = load_file(folder / "model.safetensors")
    state["fusion.conv1.bias"] = torch.zeros(99)
    del state["fusion.conv2.bias"]
    save_file(state, tmp_path / "misshapen.safetensors")
    misshapen = (tmp_path / "misshapen.safetensors").read_bytes()
    repos = {
        "org/pickle-only": {"pytorch_model.bin": pickled},
        "org/pickle": {"config.json": config, "net_g.pth": pickled},
        "org/no-config": {"model.safetensors": weights},
        "org/language-model": {
            "config.json": b'{"hidden_size": 4096}',
            "model.safetensors": weights,
        },
        "org/misshapen": {"config.json": config, "model.safetensors": misshapen},
        "org/shape": {
            "config.json": config,
            "model.safetensors": lying(weights, fusion__conv1__bias={"shape": [9]}),
        },
        "org/offset": {
            "config.json": config,
            "model.safetensors": lying(weights, fusion__conv1__bias={"data_offsets": [0, 1 << 40]}),
        },
        "org/integers": {
            "config.json": config,
            "model.safetensors": lying(weights, fusion__conv1__bias={"dtype": "I32"}),
        },
        "org/cut-off": {"config.json": config, "model.safetensors": weights[:-7]},
    }
    for repo_id, files in repos.items():
        hub.put(repo_id, files)
    said = load_each(hub, tmp_path / "home", *repos, "org/nothing-here", "org/cut-off@v9")
    expected = {
        "org/pickle-only": r"FileNotFoundError: .*pytorch_model\.bin.*pickles.*never opened",
        "org/pickle": r"FileNotFoundError: .*no model\.safetensors, only net_g\.pth: reading",
        "org/no-config": r"FileNotFoundError: Hub repository org/no-config has no config\.json",
        "org/language-model": r"ValueError: .*config\.json has keys.*hidden_size",
        "org/misshapen": r"ValueError: .*lacks fusion\.conv2\.bias; fusion\.conv1\.bias is \[99\]",
        "org/shape": r"ValueError: .*model\.safetensors is not a valid safetensors file",
        "org/offset": r"ValueError: .*model\.safetensors is not a valid safetensors file",
        "org/integers": r"ValueError: .*fusion\.conv1\.bias holds I32",
        "org/cut-off": r"ValueError: .*is not a valid safetensors file: .* It may be cut off",
        "org/nothing-here": r"RepositoryNotFoundError: 404",
        "org/cut-off@v9": r"RevisionNotFoundError: 404",
    }
    for repo_id, pattern in expected.items():
        assert re.search(pattern, said[repo_id], flags=re.DOTALL), said[repo_id]
    assert not (tmp_path / "sprung").exists()
    # Pickles and weights of other networks are not even downloaded.
    fetched = [s.path for s in hub.seen if s.method == "GET" and s.name in ("resolve", "cdn")]
    assert not [path for path in fetched if path.endswith((".bin", ".pth"))]
    assert not hub.count("resolve", "language-model/resolve/main/model.safetensors")


def test_downloads_that_are_slow_cut_or_refused(hub: Hub, folder: Path, tmp_path: Path):
    weights = (folder / "model.safetensors").read_bytes()
    names = ("cut-once", "slow", "always-cut", "away", "forbidden", "expired", "echo")
    for name in names:
        hub.put(f"org/{name}", {"config.json": (folder / "config.json").read_bytes()})
        hub.put(f"org/{name}", {"model.safetensors": weights})
    hub.faults = [
        Fault("cdn", "half", times=1),
        Fault("resolve", 1.5, "org/slow", times=1),
        Fault("resolve", "cut", "org/always-cut"),
        Fault("resolve", 503, "org/away"),
        Fault("resolve", 403, "org/forbidden"),
        Fault("resolve", "expired", "org/expired"),
        Fault("resolve", "echo", "org/echo"),
    ]
    home = tmp_path / "home"
    said = load_each(hub, home, *(f"org/{name}" for name in names))
    assert said["org/cut-once"] == said["org/slow"] == "loaded [8, 4]"
    assert said["org/always-cut"].startswith("OSError: config.json of org/always-cut could not")
    assert re.match("LocalEntryNotFoundError.*503", said["org/away"])
    assert re.match("LocalEntryNotFoundError.*403 Forbidden", said["org/forbidden"])
    assert "Invalid credentials" in said["org/expired"]
    # A proxy repeats the token, and the message hides it. `client` fails if it does not.
    assert "the token hf_*** is not one we like" in said["org/echo"]
    assert not list((home / "hub").rglob("*.incomplete"))
